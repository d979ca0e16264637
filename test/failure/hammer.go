package failure

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Hammer sends datagrams from a network namespace, a round to all addresses at a
// time, until it is stopped; they are not expected to be answered.
type Hammer struct {
	mu      sync.Mutex
	targets []netip.Addr
	sent    int64
	stop    chan struct{}
	done    chan error
}

// StartHammer begins to send, to nobody at first.
func StartHammer(from End, pace time.Duration) *Hammer {
	h := &Hammer{stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		h.done <- within(from.NetNS, func() error { return h.run(pace) })
	}()
	return h
}

// At makes the addresses the targets from now on.
func (h *Hammer) At(targets ...netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.targets = targets
}

// Sent is how many datagrams were sent.
func (h *Hammer) Sent() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent
}

func (h *Hammer) run(pace time.Duration) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return nil
		case <-tick.C:
		}
		if err := h.round(); err != nil {
			return err
		}
	}
}

// round sends from a new port, so that each datagram is the first of a
// connection.
func (h *Hammer) round() error {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	defer conn.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, to := range h.targets {
		_, err := conn.WriteToUDPAddrPort([]byte("first"), netip.AddrPortFrom(to, port))
		if err != nil && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EHOSTUNREACH) {
			return fmt.Errorf("send to %s: %w", to, err)
		}
		h.sent++
	}
	return nil
}

// Stop ends the sending.
func (h *Hammer) Stop() error {
	close(h.stop)
	return <-h.done
}
