package listen

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// OpenAnyStream answers TCP connections that the namespace's packet filter gives
// to a port whatever port they are for (tproxy). A connection's local address is
// the one that its client meant.
func OpenAnyStream(s *space.Space, port uint16, serve Stream) (Listener, error) {
	fd, err := bound(s, unix.SOCK_STREAM, traffic.TCP, port, transparent)
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on TCP %d: %w", port, err), unix.Close(fd))
	}
	return ServeStream(fd, serve)
}

// OpenAnyDatagram answers UDP datagrams that the namespace's packet filter gives
// to a port whatever port they are for.
func OpenAnyDatagram(s *space.Space, port uint16, serve Datagram) (Listener, error) {
	fd, err := bound(s, unix.SOCK_DGRAM, traffic.UDP, port, transparent, tellDestination)
	if err != nil {
		return nil, err
	}
	return startDatagrams(fd, &datagrams{serve: serve, reply: replyAs(s)})
}

// transparent lets a socket have addresses that are not the host's.
func transparent(fd, domain int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1); err != nil || domain == unix.AF_INET {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
}

// replyAs answers on a socket of its own that is bound to the address and port
// that were meant, for a datagram's source port is its socket's.
func replyAs(s *space.Space) func(int, []byte, netip.AddrPort, unix.Sockaddr) error {
	return func(_ int, payload []byte, from netip.AddrPort, peer unix.Sockaddr) error {
		return s.Do(func() error {
			sa, domain := Sockaddr(from)
			fd, err := Socket(domain, unix.SOCK_DGRAM, traffic.UDP)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return err
			}
			if err := transparent(fd, domain); err != nil {
				return err
			}
			if err := unix.Bind(fd, sa); err != nil {
				return err
			}
			to, _ := Sockaddr(fromSockaddr(peer))
			return unix.Sendto(fd, payload, 0, to)
		})
	}
}
