package failure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Traffic is datagrams, each the first of a connection, from a client that is
// allowed and from one that is denied, to one server. No protocol repeats what is
// lost, so each datagram tells.
type Traffic struct {
	server *net.UDPConn
	denied netip.Addr

	answered, tried atomic.Int64

	mu       sync.Mutex
	lost     []time.Time
	leaks    []time.Time
	failures []error

	stop    chan struct{}
	running sync.WaitGroup
}

const (
	port = 7000
	// pace is how often each client sends.
	pace = time.Millisecond
	// answerTime is when a datagram counts as lost. On one machine it takes
	// well under a millisecond; the rest is for a machine that is busy.
	answerTime = 3 * time.Second
)

// End is one end of the traffic: a pod's network namespace and address.
type End struct {
	NetNS string
	Addr  netip.Addr
}

// StartTraffic begins to send.
func StartTraffic(server, allowed, denied End) (*Traffic, error) {
	t := &Traffic{denied: denied.Addr, stop: make(chan struct{})}
	err := within(server.NetNS, func() (err error) {
		t.server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr, port)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in server: %w", err)
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Addr, port))
	t.running.Go(t.serve)
	for _, client := range []struct {
		end  End
		send func(*net.UDPAddr, uint64) error
	}{{allowed, t.ask}, {denied, t.try}} {
		t.running.Go(func() {
			if err := within(client.end.NetNS, func() error { return t.loop(to, client.send) }); err != nil {
				t.fail(err)
			}
		})
	}
	return t, nil
}

func (t *Traffic) loop(to *net.UDPAddr, send func(*net.UDPAddr, uint64) error) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-t.stop:
			return nil
		case <-tick.C:
		}
		if err := send(to, n); err != nil {
			return err
		}
	}
}

// serve answers the allowed client and notes the denied one.
func (t *Traffic) serve() {
	buffer := make([]byte, 64)
	for {
		n, from, err := t.server.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.fail(fmt.Errorf("receive in server: %w", err))
			return
		}
		if from.Addr().Unmap() == t.denied {
			t.mu.Lock()
			t.leaks = append(t.leaks, time.Now())
			t.mu.Unlock()
		}
		if _, err := t.server.WriteToUDPAddrPort(buffer[:n], from); err != nil && !errors.Is(err, net.ErrClosed) {
			t.fail(fmt.Errorf("answer in server: %w", err))
		}
	}
}

// ask sends from a new port and waits for the answer.
func (t *Traffic) ask(to *net.UDPAddr, n uint64) error {
	conn, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return fmt.Errorf("open allowed socket: %w", err)
	}
	defer conn.Close()
	message, at := binary.BigEndian.AppendUint64(nil, n), time.Now()
	conn.SetDeadline(at.Add(answerTime))
	_, err = conn.Write(message)
	if err == nil {
		_, err = conn.Read(make([]byte, 64))
	}
	if err == nil {
		t.answered.Add(1)
		return nil
	}
	select {
	case <-t.stop: // the server may have gone first
		return nil
	default:
	}
	t.mu.Lock()
	t.lost = append(t.lost, at)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.failures = append(t.failures, err)
	}
	t.mu.Unlock()
	return nil
}

// try sends from a new port and expects nothing.
func (t *Traffic) try(to *net.UDPAddr, n uint64) error {
	conn, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return fmt.Errorf("open denied socket: %w", err)
	}
	defer conn.Close()
	t.tried.Add(1)
	_, err = conn.Write(binary.BigEndian.AppendUint64(nil, n))
	return err
}

func (t *Traffic) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, err)
}

// Counts is what became of the traffic.
type Counts struct {
	Answered, Lost int64 // of the allowed client
	Tried, Leaked  int64 // of the denied client
	Errors         error
}

// Counts are those so far.
func (t *Traffic) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Counts{
		Answered: t.answered.Load(), Lost: int64(len(t.lost)), Tried: t.tried.Load(), Leaked: int64(len(t.leaks)),
		Errors: errors.Join(t.failures...),
	}
	return c
}

// Window is how long denied datagrams got through after earlier counts: from the
// first to the last that did.
func (t *Traffic) Window(before Counts) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	leaks := t.leaks[before.Leaked:]
	if len(leaks) == 0 {
		return 0
	}
	return leaks[len(leaks)-1].Sub(leaks[0])
}

// Since is what came after earlier counts.
func (c Counts) Since(before Counts) Counts {
	c.Answered -= before.Answered
	c.Lost -= before.Lost
	c.Tried -= before.Tried
	c.Leaked -= before.Leaked
	return c
}

// Stop ends the traffic.
func (t *Traffic) Stop() {
	close(t.stop)
	t.server.Close()
	t.running.Wait()
}
