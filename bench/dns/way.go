package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab"
)

// asked is a name that rules of the world are about.
const asked = "api.example.com."

// sockets is how many a pod asks from at once, and window how many queries of
// each are under way.
const (
	sockets = 8
	window  = 16
)

// patience is how long a query may take before it counts as lost.
const patience = time.Second

// way is a pod and what was measured of its queries.
type way struct {
	Name      string
	pod       cluster.Name
	server    netip.AddrPort
	conns     []*net.UDPConn
	rates     []float64
	latencies []time.Duration
}

func (w *way) open(l *lab.Lab) error {
	place, ok := l.Place(w.pod.String())
	if !ok {
		return fmt.Errorf("there is no pod %s", w.pod)
	}
	return place.Space.Do(func() error {
		for range sockets {
			c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(w.server))
			if err != nil {
				return err
			}
			w.conns = append(w.conns, c)
		}
		return nil
	})
}

func (w *way) close() {
	for _, c := range w.conns {
		c.Close()
	}
}

// measure is one round: one query after the other, and then many at a time.
func (w *way) measure(slice time.Duration) error {
	latency, err := one(w.conns[0], slice)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Name, err)
	}
	rate, err := many(w.conns, slice)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Name, err)
	}
	w.latencies, w.rates = append(w.latencies, latency), append(w.rates, rate)
	return nil
}

func (w *way) figures() figures {
	return figures{w.Name, median(w.rates), median(w.latencies)}
}

func median[T float64 | time.Duration](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

func query() []byte {
	packed, err := new(mdns.Msg).SetQuestion(asked, mdns.TypeA).Pack()
	if err != nil {
		panic(err) // the name is valid
	}
	return packed
}

// one is the median time of a query that is alone.
func one(c *net.UDPConn, slice time.Duration) (time.Duration, error) {
	var times []time.Duration
	message, buffer := query(), make([]byte, 4096)
	for id, end := uint16(0), time.Now().Add(slice); time.Now().Before(end); id++ {
		message[0], message[1] = byte(id>>8), byte(id)
		start := time.Now()
		if _, err := c.Write(message); err != nil {
			return 0, err
		}
		if err := await(c, buffer, id); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start))
	}
	return median(times), nil
}

// await reads until the answer to a query has come; late ones come before it.
func await(c *net.UDPConn, buffer []byte, id uint16) error {
	c.SetReadDeadline(time.Now().Add(patience))
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return fmt.Errorf("a query is lost: %w", err)
		}
		if n < 2 || uint16(buffer[0])<<8|uint16(buffer[1]) != id {
			continue
		}
		if err := check(buffer[:n]); err != nil {
			return err
		}
		return nil
	}
}

// check looks at the flags alone, to be fast.
func check(answer []byte) error {
	const rcode = 3
	if len(answer) < 12 || answer[rcode]&0xf != mdns.RcodeSuccess || answer[7] == 0 {
		return errors.New("the answer has no address")
	}
	return nil
}

// many is the answers a second that come if each socket has a window of queries
// under way.
func many(conns []*net.UDPConn, slice time.Duration) (float64, error) {
	var answers atomic.Int64
	var running sync.WaitGroup
	failed := make(chan error, len(conns))
	start := time.Now()
	for _, c := range conns {
		running.Go(func() {
			n, err := flood(c, start.Add(slice))
			answers.Add(n)
			if err != nil {
				failed <- err
			}
		})
	}
	running.Wait()
	close(failed)
	return float64(answers.Load()) / time.Since(start).Seconds(), <-failed
}

// flood keeps a window of queries under way. What is lost is asked again.
func flood(c *net.UDPConn, end time.Time) (answers int64, err error) {
	message, buffer := query(), make([]byte, 4096)
	for id := range uint16(window) {
		message[0], message[1] = 0, byte(id)
		if _, err := c.Write(message); err != nil {
			return 0, err
		}
	}
	for time.Now().Before(end) {
		c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(buffer)
		if err != nil {
			return answers, fmt.Errorf("a window of queries is lost: %w", err)
		}
		if err := check(buffer[:n]); err != nil {
			return answers, err
		}
		answers++
		message[0], message[1] = buffer[0], buffer[1]
		if _, err := c.Write(message); err != nil {
			return answers, err
		}
	}
	return answers, drain(c, buffer)
}

// drain takes what is still to come, so that it is nobody else's.
func drain(c *net.UDPConn, buffer []byte) error {
	for {
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(buffer); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return nil
			}
			return err
		}
	}
}
