package transparent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Packets is a UDP socket that gets packets which were for somebody else.
type Packets struct{ conn *net.UDPConn }

// errNoDestination is never seen on a kernel that has tproxy.
var errNoDestination = errors.New("the kernel did not say where the packet was to go")

// Read reads a packet, from whom it is, and to whom it was sent.
func (p *Packets) Read(buffer []byte) (n int, from, to netip.AddrPort, err error) {
	var oob [64]byte // one control message with a struct sockaddr_in6
	n, oobn, _, from, err := p.conn.ReadMsgUDPAddrPort(buffer, oob[:])
	if err != nil {
		return 0, from, to, fmt.Errorf("read packet: %w", err)
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	to, ok := destination(oob[:oobn])
	if !ok {
		return 0, from, to, errNoDestination
	}
	return n, from, to, nil
}

// Close closes the socket; Read returns.
func (p *Packets) Close() error { return p.conn.Close() }

// destination reads the control message with the original destination.
func destination(oob []byte) (netip.AddrPort, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVORIGDSTADDR
		v6 := m.Header.Level == unix.SOL_IPV6 && m.Header.Type == unix.IPV6_RECVORIGDSTADDR
		switch {
		case v4 && len(m.Data) >= unix.SizeofSockaddrInet4:
			addr := netip.AddrFrom4([4]byte(m.Data[4:8]))
			return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m.Data[2:])), true
		case v6 && len(m.Data) >= unix.SizeofSockaddrInet6:
			addr := netip.AddrFrom16([16]byte(m.Data[8:24]))
			return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(m.Data[2:])), true
		}
	}
	return netip.AddrPort{}, false
}
