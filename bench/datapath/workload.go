package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// workload is what is measured; run returns how much was done in a slice.
type workload struct {
	name, unit string
	run        func(p *path, slice time.Duration) (float64, error)
	// less: a smaller number is better.
	less bool
}

// Workloads that targets speak of.
const (
	connectionsName = "connect-request-response"
	throughputName  = "throughput"
)

var workloads = []workload{
	{connectionsName, "connections/s", connections, false},
	{"request-response", "µs", latency, true},
	{throughputName, "Gbit/s", throughput, false},
	{"UDP", "packets/s", datagrams, false},
}

// measure runs all workloads on all paths in each round. The order of the paths
// changes from round to round.
func measure(ctx context.Context, o options, paths []*path, r *report) error {
	for _, p := range paths { // the first packets make caches warm
		for _, w := range workloads {
			if _, err := w.run(p, o.slice/10); err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, w.name, err)
			}
		}
	}
	order := append([]*path{}, paths...)
	for round := range o.rounds {
		say("round %d of %d", round+1, o.rounds)
		for _, w := range workloads {
			rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, p := range order {
				if err := ctx.Err(); err != nil {
					return err
				}
				n, err := w.run(p, o.slice)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", p.name, w.name, err)
				}
				r.note(p.name, w.name, n)
			}
		}
	}
	return nil
}

func dialServer(purpose byte) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: serverAddr.As4(), Port: tcpPort}); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("connect: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if _, err := unix.Write(fd, []byte{purpose}); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// connections opens connections one after the other, on two threads, with one
// byte there and one back.
func connections(p *path, slice time.Duration) (float64, error) {
	const threads = 2
	var done atomic.Int64
	failed := make(chan error, threads)
	start := time.Now()
	for range threads {
		go func() {
			failed <- p.client.Do(func() error {
				for time.Since(start) < slice {
					if err := connectOnce(); err != nil {
						return err
					}
					done.Add(1)
				}
				return nil
			})
		}()
	}
	var err error
	for range threads {
		err = errors.Join(err, <-failed)
	}
	return float64(done.Load()) / time.Since(start).Seconds(), err
}

func connectOnce() error {
	fd, err := dialServer(answerOnce)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Read(fd, make([]byte, 1))
	return err
}

// latency is the median time of a byte there and back on an open connection.
func latency(p *path, slice time.Duration) (float64, error) {
	var times []float64
	err := p.client.Do(func() error {
		fd, err := dialServer(answerAlways)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		b := make([]byte, 1)
		for start := time.Now(); time.Since(start) < slice; {
			sent := time.Now()
			if _, err := unix.Write(fd, b); err != nil {
				return err
			}
			if _, err := unix.Read(fd, b); err != nil {
				return err
			}
			times = append(times, float64(time.Since(sent).Nanoseconds())/1000)
		}
		return nil
	})
	return median(times), err
}

// throughput is what one connection brings to the server.
func throughput(p *path, slice time.Duration) (float64, error) {
	before := p.serving.received.Load()
	start := time.Now()
	err := p.client.Do(func() error {
		fd, err := dialServer(swallow)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for b := make([]byte, 256<<10); time.Since(start) < slice; {
			if _, err := unix.Write(fd, b); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(p.serving.received.Load()-before) * 8 / 1e9 / time.Since(start).Seconds(), err
}

// datagrams is how many small datagrams of one connection come to the server. It
// has seen an answer, so that connection tracking takes it for established.
func datagrams(p *path, slice time.Duration) (float64, error) {
	var before int64
	var start time.Time
	err := p.client.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: serverAddr.As4(), Port: udpPort}); err != nil {
			return err
		}
		if _, err := unix.Write(fd, make([]byte, 1)); err != nil {
			return err
		}
		if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
			return err
		}
		before, start = p.serving.datagrams.Load(), time.Now()
		for b := make([]byte, 64); time.Since(start) < slice; {
			for range 16 {
				if _, err := unix.Write(fd, b); err != nil && !errors.Is(err, unix.ENOBUFS) {
					return err
				}
			}
		}
		return nil
	})
	return float64(p.serving.datagrams.Load()-before) / time.Since(start).Seconds(), err
}
