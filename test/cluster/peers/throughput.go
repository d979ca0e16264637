package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

const (
	slice   = time.Second // of one measurement
	clients = 4           // that connect at the same time
	// patienceOnce is how long one connection may take.
	patienceOnce = 2 * time.Second
)

// throughput counts connections per second, with a byte there and one back, to a
// pod that more and more policies select. Rounds go over the worlds in another
// order each time.
func throughput(ctx context.Context, config *Config, worlds []*world) error {
	from := 0
	for _, n := range config.On {
		if err := growAll(ctx, config, worlds, from, n); err != nil {
			return err
		}
		from = n
		rates := make([][]float64, len(worlds))
		for round := range config.Rounds {
			for i := range worlds {
				at := (i + round) % len(worlds)
				rate, err := connections(ctx, worlds[at].pods["client"], netip.AddrPortFrom(worlds[at].address, servicePort))
				if err != nil {
					return fmt.Errorf("connect with %d policies and %s: %w", n, worlds[at].engine.Name, err)
				}
				rates[at] = append(rates[at], rate)
			}
		}
		for i, w := range worlds {
			w.result.Throughput = append(w.result.Throughput, Rate{Policies: n, Each: rates[i]})
		}
	}
	for _, w := range worlds {
		if err := w.clear(ctx); err != nil {
			return err
		}
	}
	return nil
}

// growAll gives every world its policies, and waits until they are enforced.
func growAll(ctx context.Context, config *Config, worlds []*world, from, n int) error {
	for _, w := range worlds {
		took, err := w.grow(ctx, from, n)
		if err != nil {
			return fmt.Errorf("grow to %d policies with %s: %w", n, w.engine.Name, err)
		}
		w.result.Grown = append(w.result.Grown, Grown{Policies: n, Took: took})
		config.say("%s: %d policies on the target work %s after the last was made", w.engine.Name, n, took.Round(100*time.Microsecond))
	}
	return nil
}

// grow has n policies select the target and returns how long after the last of
// them was made the canary got in.
func (w *world) grow(ctx context.Context, from, n int) (took time.Duration, err error) {
	target := netip.AddrPortFrom(w.address, servicePort)
	if n > 0 {
		if err := w.listen(canaryPort(n)); err != nil {
			return 0, err
		}
		if err := w.growTo(ctx, from, n); err != nil {
			return 0, err
		}
		made := time.Now()
		p := probe(w.pods["canary"], netip.AddrPortFrom(w.address, canaryPort(n)), probePeriod, probeTimeout)
		first, err := p.awaitPass(ctx, made)
		if _, failed := p.stop(); err != nil || failed != nil {
			return 0, errors.Join(err, failed)
		}
		took = since(made, first)
		if err := w.awaitReach(ctx, "stranger", target, w.engine.None()); err != nil {
			return 0, err
		}
	}
	return took, w.awaitReach(ctx, "client", target, true)
}

// awaitReach waits until a pod reaches an address, or until it does not.
func (w *world) awaitReach(ctx context.Context, pod string, target netip.AddrPort, want bool) error {
	return await(ctx, fmt.Sprintf("%s to reach %s (%v)", pod, target, want), func() (bool, error) {
		err := reach(w.pods[pod], target, 200*time.Millisecond)
		return (err == nil) == want, err
	})
}

// reach connects once and exchanges a byte.
func reach(pod ns.View, target netip.AddrPort, timeout time.Duration) error {
	return pod.Do(func() error { return connectOnce(target, timeout) })
}

func connectOnce(target netip.AddrPort, timeout time.Duration) error {
	conn, err := dial(target, timeout)
	if err != nil {
		return err
	}
	return errors.Join(exchange(conn), unix.Close(conn))
}

// connections counts connections per second of some clients in a pod.
func connections(ctx context.Context, pod ns.View, target netip.AddrPort) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, slice)
	defer cancel()
	var count atomic.Int64
	var working sync.WaitGroup
	failed := make(chan error, clients)
	began := time.Now()
	for range clients {
		working.Go(func() {
			failed <- pod.Do(func() error {
				for ctx.Err() == nil {
					if err := connectOnce(target, patienceOnce); err != nil {
						return err
					}
					count.Add(1)
				}
				return nil
			})
		})
	}
	working.Wait()
	took := time.Since(began)
	close(failed)
	for err := range failed {
		if err != nil {
			return 0, err
		}
	}
	return float64(count.Load()) / took.Seconds(), nil
}
