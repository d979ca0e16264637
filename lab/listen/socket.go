package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// option prepares a socket of a domain before it is bound.
type option func(fd, domain int) error

// bound opens a socket in a namespace that is bound to a port of all addresses,
// of both families where the kernel has IPv6.
func bound(s *space.Space, kind int, protocol traffic.Protocol, port uint16, options ...option) (fd int, err error) {
	err = s.Do(func() error {
		var domain int
		if fd, domain, err = dual(kind, protocol); err != nil {
			return err
		}
		for _, o := range append(options, func(fd, domain int) error { return unix.Bind(fd, anyAddress(domain, port)) }) {
			if err := o(fd, domain); err != nil {
				return errors.Join(fmt.Errorf("bind %s %d: %w", protocol, port, err), unix.Close(fd))
			}
		}
		return nil
	})
	return fd, err
}

// dual opens a socket for both families, or for IPv4 where the kernel has no
// IPv6. It belongs to the namespace of the calling thread.
func dual(kind int, protocol traffic.Protocol) (fd, domain int, err error) {
	domain = unix.AF_INET6
	fd, err = Socket(domain, kind, protocol)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		domain = unix.AF_INET
		fd, err = Socket(domain, kind, protocol)
	}
	if err != nil {
		return -1, domain, err
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && domain == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err != nil {
		return -1, domain, errors.Join(fmt.Errorf("open %s socket: %w", protocol, err), unix.Close(fd))
	}
	return fd, domain, nil
}

// Socket opens a socket that does not block. It belongs to the namespace of the
// calling thread.
func Socket(domain, kind int, protocol traffic.Protocol) (int, error) {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol))
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) {
		err = fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return -1, fmt.Errorf("open %s socket: %w", protocol, err)
	}
	return fd, nil
}

func anyAddress(domain int, port uint16) unix.Sockaddr {
	if domain == unix.AF_INET {
		return &unix.SockaddrInet4{Port: int(port)}
	}
	return &unix.SockaddrInet6{Port: int(port)}
}

// Sockaddr is an address and port as the kernel takes it, and its domain.
func Sockaddr(ap netip.AddrPort) (sa unix.Sockaddr, domain int) {
	if ap.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Addr: ap.Addr().As16(), Port: int(ap.Port())}, unix.AF_INET6
}

// fromSockaddr takes back what Sockaddr does. IPv4 in IPv6 is IPv4.
func fromSockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// tellDestination makes the kernel say which address and port each datagram was
// sent to, as its header has them; a socket may see several ports (tproxy). On
// an IPv6 socket it is asked for both families.
func tellDestination(fd, domain int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVORIGDSTADDR, 1); err != nil || domain == unix.AF_INET {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
}

// destination is what tellDestination asked for.
func destination(control []byte) netip.AddrPort {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.AddrPort{}
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_ORIGDSTADDR && len(m.Data) >= unix.SizeofSockaddrInet4:
			return rawAddrPort(m.Data, m.Data[4:8])
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_ORIGDSTADDR && len(m.Data) >= unix.SizeofSockaddrInet6:
			return rawAddrPort(m.Data, m.Data[8:24])
		}
	}
	return netip.AddrPort{}
}

// rawAddrPort reads the kernel's sockaddr_in or sockaddr_in6.
func rawAddrPort(sockaddr, addr []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(addr)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(sockaddr[2:4]))
}
