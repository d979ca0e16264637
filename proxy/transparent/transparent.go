// Package transparent opens the sockets of a proxy that nobody sees: its
// listeners take connections that were for somebody else, and it opens
// connections with the address of the pod that it speaks for.
//
// The tables hand packets to a listener with nftables' tproxy expression, and
// mark them; Route keeps the routing that delivers marked packets to the node
// itself (Linux Documentation/networking/tproxy.rst). All of it takes
// CAP_NET_ADMIN and nothing more.
package transparent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sockets opens them. Its methods may be called by several goroutines.
type Sockets struct {
	// Divert and Own are two bits of the packet mark, as dataplane/nft.Proxy has
	// them: of packets that are to be delivered to the node itself, and of what
	// the proxy sends with a pod's address.
	Divert, Own uint32
	// Inside runs a function in the network namespace of the node; nil: the
	// process is in it.
	Inside func(func() error) error
}

func (s Sockets) do(f func() error) error {
	if s.Inside == nil {
		return f()
	}
	return s.Inside(f)
}

// loopbacks are where listeners are bound: what tproxy does not hand over, they
// do not get.
var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// Streams listens for TCP at a port of both loopback addresses; zero lets the
// kernel choose one, and it is the same for both. An accepted connection's
// LocalAddr is where its client wanted to go.
func (s Sockets) Streams(ctx context.Context, port uint16) (all []net.Listener, at uint16, err error) {
	for _, addr := range loopbacks {
		err := s.do(func() error {
			l, err := listener().Listen(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
			if err == nil {
				all, port = append(all, l), l.Addr().(*net.TCPAddr).AddrPort().Port()
			}
			return err
		})
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("listen for the proxy: %w", err), closeAll(all))
		}
	}
	return all, port, nil
}

// Datagrams listens for UDP at a port of both loopback addresses, as Streams does.
func (s Sockets) Datagrams(ctx context.Context, port uint16) (all []*Packets, at uint16, err error) {
	for _, addr := range loopbacks {
		err := s.do(func() error {
			c, err := listener(receiveDestination).ListenPacket(ctx, "udp", netip.AddrPortFrom(addr, port).String())
			if err == nil {
				all, port = append(all, &Packets{c.(*net.UDPConn)}), c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			}
			return err
		})
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("listen for the proxy: %w", err), closeAll(all))
		}
	}
	return all, port, nil
}

type closer interface{ Close() error }

func closeAll[C closer](all []C) error {
	var err error
	for _, c := range all {
		err = errors.Join(err, c.Close())
	}
	return err
}

// The ports that the proxy's own connections come from. Pods have their own in
// the range above (net.ipv4.ip_local_port_range): were two equal, the kernel
// would take the proxy's packets for those of the pod's connection.
const (
	firstPort = 16_384
	lastPort  = 32_767
	tries     = 16
)

// Dial opens a TCP connection to an address in a pod's name.
func (s Sockets) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (*net.TCPConn, error) {
	c, err := s.connect(ctx, "tcp", from, to, func(at netip.AddrPort) net.Addr { return net.TCPAddrFromAddrPort(at) })
	if err != nil {
		return nil, fmt.Errorf("connect to %s for %s: %w", to, from, err)
	}
	return c.(*net.TCPConn), nil
}

// Ask opens a UDP socket to an address in a pod's name.
func (s Sockets) Ask(ctx context.Context, from netip.Addr, to netip.AddrPort) (*net.UDPConn, error) {
	c, err := s.connect(ctx, "udp", from, to, func(at netip.AddrPort) net.Addr { return net.UDPAddrFromAddrPort(at) })
	if err != nil {
		return nil, fmt.Errorf("open socket to %s for %s: %w", to, from, err)
	}
	return c.(*net.UDPConn), nil
}

// connect tries ports until one is free.
func (s Sockets) connect(ctx context.Context, network string, from netip.Addr, to netip.AddrPort, local func(netip.AddrPort) net.Addr) (c net.Conn, err error) {
	for range tries {
		port := uint16(firstPort + rand.N(lastPort-firstPort+1))
		d := net.Dialer{
			LocalAddr: local(netip.AddrPortFrom(from, port)),
			Control:   control(asAnybody, shareAddress, s.own),
			KeepAlive: -1, // the ends decide
		}
		err = s.do(func() (err error) {
			c, err = d.DialContext(ctx, network, to.String())
			return err
		})
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
	return c, err
}

// Answer opens a UDP socket that sends with the address of somebody whom a client
// asked.
func (s Sockets) Answer(ctx context.Context, as netip.AddrPort) (c *net.UDPConn, err error) {
	err = s.do(func() error {
		opened, err := listener().ListenPacket(ctx, "udp", as.String())
		if err == nil {
			c = opened.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open socket to answer as %s: %w", as, err)
	}
	return c, nil
}

// option sets an option of a socket of one family.
type option func(fd int, v6 bool) error

func listener(more ...option) *net.ListenConfig {
	return &net.ListenConfig{Control: control(append(more, asAnybody, shareAddress)...), KeepAliveConfig: net.KeepAliveConfig{Enable: false}}
}

func control(options ...option) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		v6 := network[len(network)-1] == '6'
		var failed error
		err := c.Control(func(fd uintptr) {
			for _, set := range options {
				failed = errors.Join(failed, set(int(fd), v6))
			}
		})
		return errors.Join(err, failed)
	}
}

// asAnybody lets a socket have an address that is not the node's.
func asAnybody(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

func shareAddress(fd int, _ bool) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
}

// receiveDestination has the socket tell where each packet was to go.
func receiveDestination(fd int, v6 bool) error {
	if v6 {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
}

func (s Sockets) own(fd int, _ bool) error {
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(s.Own))
}
