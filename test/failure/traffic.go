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
// lost, so each datagram tells. The allowed client has connections open as well,
// one of UDP and one of TCP.
type Traffic struct {
	server *net.UDPConn
	stream net.Listener
	denied netip.Addr

	answered, exchanged, tried atomic.Int64

	mu       sync.Mutex
	lost     []time.Time
	missed   []time.Time
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
		return t.listen(netip.AddrPortFrom(server.Addr, port))
	})
	if err != nil {
		return nil, fmt.Errorf("listen in server: %w", err)
	}
	to := netip.AddrPortFrom(server.Addr, port)
	t.running.Go(t.serve)
	t.running.Go(t.serveStream)
	for _, client := range []struct {
		end  End
		send func(netip.AddrPort) error
	}{{allowed, t.repeat(t.ask)}, {denied, t.repeat(t.try)}, {allowed, t.keepUDP}, {allowed, t.keepTCP}} {
		t.running.Go(func() {
			if err := within(client.end.NetNS, func() error { return client.send(to) }); err != nil {
				t.fail(err)
			}
		})
	}
	return t, nil
}

func (t *Traffic) listen(at netip.AddrPort) (err error) {
	if t.server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
		return err
	}
	t.stream, err = net.Listen("tcp", at.String())
	return err
}

// repeat sends at the pace until the traffic stops.
func (t *Traffic) repeat(send func(*net.UDPAddr, uint64) error) func(netip.AddrPort) error {
	return func(to netip.AddrPort) error {
		addr := net.UDPAddrFromAddrPort(to)
		return t.paced(func(n uint64) error { return send(addr, n) })
	}
}

func (t *Traffic) paced(send func(uint64) error) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-t.stop:
			return nil
		case <-tick.C:
		}
		if err := send(n); err != nil {
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
	t.note(&t.lost, at, err)
	return nil
}

// note takes down what did not come back, and why.
func (t *Traffic) note(list *[]time.Time, at time.Time, err error) {
	select {
	case <-t.stop: // the server may have gone first
		return
	default:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	*list = append(*list, at)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.failures = append(t.failures, err)
	}
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
	Answered, Lost    int64 // new connections of the allowed client
	Exchanged, Missed int64 // on its open connections
	Tried, Leaked     int64 // new connections of the denied client
	Errors            error
}

// Counts are those so far.
func (t *Traffic) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Counts{
		Answered: t.answered.Load(), Lost: int64(len(t.lost)),
		Exchanged: t.exchanged.Load(), Missed: int64(len(t.missed)),
		Tried: t.tried.Load(), Leaked: int64(len(t.leaks)),
		Errors: errors.Join(t.failures...),
	}
	return c
}

// Windows are how long denied datagrams got through, and allowed ones did not,
// after earlier counts: from the first to the last of them.
func (t *Traffic) Windows(before Counts) (open, shut time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return span(t.leaks[before.Leaked:]), span(t.lost[before.Lost:])
}

func span(times []time.Time) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[len(times)-1].Sub(times[0])
}

// Since is what came after earlier counts.
func (c Counts) Since(before Counts) Counts {
	c.Answered -= before.Answered
	c.Lost -= before.Lost
	c.Exchanged -= before.Exchanged
	c.Missed -= before.Missed
	c.Tried -= before.Tried
	c.Leaked -= before.Leaked
	return c
}

// Stop ends the traffic.
func (t *Traffic) Stop() {
	close(t.stop)
	t.server.Close()
	t.stream.Close()
	t.running.Wait()
}
