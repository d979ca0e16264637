package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// stream sends packets from one pod to another, each from a port of its own, so
// that each is judged, and notes when those that arrive were sent.
type stream struct {
	began  time.Time
	socket int // the receiver's
	ended  chan struct{}
	wait   sync.WaitGroup

	mu      sync.Mutex
	arrived []time.Time // when sent, in order of arrival, since the last look
	latest  time.Time
	sent    time.Time
}

// pause between two packets; the timer makes more of it.
const pause = 100 * time.Microsecond

func startStream(from, to ns.View, address netip.AddrPort) (*stream, error) {
	s := &stream{began: time.Now(), ended: make(chan struct{})}
	at := &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	err := to.Do(func() (err error) {
		if s.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		// Whoever waits for a packet looks now and then whether it is all over.
		second := unix.Timeval{Usec: 100_000}
		if err := unix.SetsockoptTimeval(s.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &second); err != nil {
			return err
		}
		return unix.Bind(s.socket, at)
	})
	if err != nil {
		return nil, fmt.Errorf("listen for packets: %w", err)
	}
	s.wait.Go(s.receive)
	failed := make(chan error, 1)
	s.wait.Go(func() { s.send(from, at, failed) })
	return s, <-failed
}

func (s *stream) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *stream) receive() {
	packet := make([]byte, 8)
	for !s.over() {
		n, _, err := unix.Recvfrom(s.socket, packet, 0)
		if err != nil || n < len(packet) {
			continue // nothing came
		}
		at := s.began.Add(time.Duration(binary.NativeEndian.Uint64(packet)))
		s.mu.Lock()
		s.arrived = append(s.arrived, at)
		s.latest = at
		s.mu.Unlock()
	}
}

// send never gives its thread back, which stays in the pod's network.
func (s *stream) send(from ns.View, to unix.Sockaddr, failed chan<- error) {
	runtime.LockOSThread()
	err := from.Enter()
	failed <- err
	for err == nil && !s.over() {
		now := time.Now()
		// A packet that cannot be sent is one that does not arrive.
		_ = sendOne(binary.NativeEndian.AppendUint64(nil, uint64(now.Sub(s.began))), to)
		s.mu.Lock()
		s.sent = now
		s.mu.Unlock()
		time.Sleep(pause)
	}
}

func sendOne(packet []byte, to unix.Sockaddr) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return unix.Sendto(socket, packet, 0, to)
}

// first is when the first packet was sent that arrived, of those sent after a
// moment.
func (s *stream) first(ctx context.Context, after time.Time) (time.Time, error) {
	var found time.Time
	err := s.poll(ctx, func() bool {
		for _, at := range s.arrived {
			if at.After(after) {
				found = at
				break
			}
		}
		s.arrived = nil
		return !found.IsZero()
	})
	return found, err
}

// last is when the last packet was sent that arrived, once many have not.
func (s *stream) last(ctx context.Context) (time.Time, error) {
	const silence = 100 * time.Millisecond
	var found time.Time
	err := s.poll(ctx, func() bool {
		found, s.arrived = s.latest, nil
		return s.sent.Sub(s.latest) > silence
	})
	return found, err
}

func (s *stream) poll(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s.mu.Lock()
		is := done()
		s.mu.Unlock()
		if is {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the packets to follow the policy: %w", ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *stream) stop() {
	close(s.ended)
	s.wait.Wait()
	unix.Close(s.socket)
}
