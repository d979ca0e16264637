package failure

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Crowd is many open connections from one pod to one port of another. Both ends
// are in hand.
type Crowd struct {
	pairs    []*pair // the first half is TCP, the second UDP
	listener net.Listener
	hub      *hub
}

// pair is the two ends of one connection.
type pair struct {
	client   net.Conn
	server   net.Conn // of a stream
	hub      *hub     // of datagrams, and where to answer
	from     netip.AddrPort
	up, down flow // to the server, and to the client
}

// hub is the server's one socket for datagrams.
type hub struct {
	conn  *net.UDPConn
	mu    sync.Mutex
	pairs map[netip.AddrPort]*pair
}

// flow is one direction of a connection.
type flow struct {
	sent, received atomic.Int64 // bytes
	last           atomic.Int64 // when something came, nanoseconds of the Unix epoch
}

// OpenCrowd opens so many connections, half of them TCP, half UDP.
func OpenCrowd(client, server End, port uint16, size int) (*Crowd, error) {
	c := &Crowd{hub: &hub{pairs: map[netip.AddrPort]*pair{}}}
	at := netip.AddrPortFrom(server.Addr, port)
	err := within(server.NetNS, func() (err error) {
		if c.listener, err = net.Listen("tcp4", at.String()); err != nil {
			return err
		}
		c.hub.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in server: %w", err)
	}
	err = within(client.NetNS, func() error {
		return errors.Join(c.dialTCP(at, size/2), c.dialUDP(at, size-size/2))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open connections: %w", err), c.Close())
	}
	return c, nil
}

func (c *Crowd) dialTCP(to netip.AddrPort, n int) error {
	for range n {
		client, err := net.Dial("tcp4", to.String())
		if err != nil {
			return err
		}
		p := &pair{client: client}
		c.pairs = append(c.pairs, p)
		if p.server, err = c.listener.Accept(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Crowd) dialUDP(to netip.AddrPort, n int) error {
	for range n {
		client, err := net.Dial("udp4", to.String())
		if err != nil {
			return err
		}
		p := &pair{client: client, hub: c.hub, from: client.LocalAddr().(*net.UDPAddr).AddrPort()}
		c.pairs = append(c.pairs, p)
		c.hub.pairs[p.from] = p
	}
	return nil
}

// Some are so many TCP and so many UDP connections of the crowd.
func (c *Crowd) Some(n int) []*pair {
	half := len(c.pairs) / 2
	return append(append([]*pair{}, c.pairs[:n]...), c.pairs[half:half+n]...)
}

// Close ends all connections, streams by a reset.
func (c *Crowd) Close() error {
	for _, p := range c.pairs {
		for _, conn := range []net.Conn{p.client, p.server} {
			if stream, ok := conn.(*net.TCPConn); ok {
				_ = stream.SetLinger(0)
			}
			if conn != nil {
				conn.Close()
			}
		}
	}
	return errors.Join(c.listener.Close(), c.hub.conn.Close())
}

var word = []byte("8 bytes.")

// say sends a word each way, without waiting for room in a stream that is cut.
func (p *pair) say() error {
	if p.hub == nil {
		return errors.Join(p.up.say(p.client, nil), p.down.say(p.server, nil))
	}
	to := &unix.SockaddrInet4{Addr: p.from.Addr().As4(), Port: int(p.from.Port())}
	return errors.Join(p.up.say(p.client, nil), p.down.say(p.hub.conn, to))
}

func (f *flow) say(conn net.Conn, to unix.Sockaddr) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	writeErr := raw.Write(func(fd uintptr) bool {
		var n int
		n, err = unix.SendmsgN(int(fd), word, nil, to, unix.MSG_DONTWAIT)
		f.sent.Add(int64(max(n, 0)))
		return true
	})
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return errors.Join(writeErr, err)
}

func (f *flow) heard(n int) {
	f.received.Add(int64(n))
	f.last.Store(time.Now().UnixNano())
}

// hear takes what has come at both ends, without waiting. What has come at a hub
// may be for others.
func (p *pair) hear() error {
	down := func(n int, _ unix.Sockaddr) { p.down.heard(n) }
	if p.hub != nil {
		return errors.Join(take(p.client, down), p.hub.hear())
	}
	return errors.Join(take(p.client, down), take(p.server, func(n int, _ unix.Sockaddr) { p.up.heard(n) }))
}

func (h *hub) hear() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return take(h.conn, func(n int, from unix.Sockaddr) {
		sender, ok := from.(*unix.SockaddrInet4)
		if !ok {
			return
		}
		if p := h.pairs[netip.AddrPortFrom(netip.AddrFrom4(sender.Addr), uint16(sender.Port))]; p != nil {
			p.up.heard(n)
		}
	})
}

// take reads what is there.
func take(conn net.Conn, heard func(n int, from unix.Sockaddr)) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	buffer := make([]byte, 2048)
	readErr := raw.Read(func(fd uintptr) bool {
		for {
			var n int
			var from unix.Sockaddr
			if n, from, err = unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT); err != nil || n == 0 {
				return true
			}
			heard(n, from)
		}
	})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		err = nil
	}
	return errors.Join(readErr, err)
}

// whole: everything that was sent has come.
func (p *pair) whole() bool {
	return p.up.received.Load() >= p.up.sent.Load() && p.down.received.Load() >= p.down.sent.Load()
}

// forget begins to count anew.
func (p *pair) forget() {
	for _, f := range []*flow{&p.up, &p.down} {
		f.sent.Store(0)
		f.received.Store(0)
		f.last.Store(0)
	}
}

// Chatter sends on connections, each way, at a pace, and takes what comes, until
// it is stopped.
type Chatter struct {
	pairs   []*pair
	stop    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	failures []error // of connections that talk no more
}

// StartChatter begins to send.
func StartChatter(pairs []*pair, pace time.Duration) *Chatter {
	c := &Chatter{pairs: pairs, stop: make(chan struct{})}
	for _, p := range pairs {
		p.forget()
		c.running.Go(func() { c.talk(p, pace) })
	}
	return c
}

func (c *Chatter) talk(p *pair, pace time.Duration) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		if err := errors.Join(p.say(), p.hear()); err != nil {
			c.mu.Lock()
			c.failures = append(c.failures, err)
			c.mu.Unlock()
			return
		}
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
	}
}

// Stop ends the sending; what is on its way may still be taken.
func (c *Chatter) Stop() error {
	close(c.stop)
	c.running.Wait()
	return errors.Join(c.failures...)
}

// Last is when something came on any of the connections.
func (c *Chatter) Last() time.Time {
	var last int64
	for _, p := range c.pairs {
		last = max(last, p.up.last.Load(), p.down.last.Load())
	}
	return time.Unix(0, last)
}
