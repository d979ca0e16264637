package kerneltest

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Ping is echo requests of one identifier, which are one connection to conntrack.
type Ping struct {
	t        testing.TB
	fd       int
	packet   plan.Packet
	id       uint16
	sequence uint16
}

// Ping prepares echo requests from a place; it ends with the test.
func (w *World) Ping(t testing.TB, from string, source, dest netip.Addr) *Ping {
	t.Helper()
	p := &Ping{t: t, packet: plan.Packet{From: source, To: dest, Protocol: traffic.ICMP, Port: traffic.ICMPPort(8, 0)}}
	if dest.Is6() {
		p.packet.Protocol, p.packet.Port = traffic.ICMPv6, traffic.ICMPPort(128, 0)
	}
	prober := &Prober{t: t, world: w}
	p.fd = prober.raw(from, source, p.packet.Protocol, func(fd int) error { return unix.Bind(fd, sockaddr(source)) })
	p.id = uint16(p.fd) // nobody else's as long as it is open
	t.Cleanup(func() { unix.Close(p.fd) })
	return p
}

// Send sends one request and tells whether the answer comes back. Denied counts
// what was denied so far.
func (p *Ping) Send(denied func() uint64) traffic.Verdict {
	p.t.Helper()
	p.sequence++
	s := echo(p.packet.Port, p.id, nil)
	binary.BigEndian.PutUint16(s[6:], p.sequence)
	before := denied()
	if err := unix.Sendto(p.fd, WithChecksum(p.packet, s, 2), 0, sockaddr(p.packet.To)); err != nil {
		p.t.Fatalf("ping %s: %v", p.packet.To, err)
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if p.answered() {
			return traffic.Allow
		}
		if denied() != before {
			return traffic.Deny
		}
	}
	p.t.Fatalf("ping %s: neither answered nor denied", p.packet.To)
	return traffic.Deny
}

// answered reads what came until it finds the answer to the last request.
func (p *Ping) answered() bool {
	buffer := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(p.fd, buffer, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		if err != nil {
			p.t.Fatalf("read answers: %v", err)
		}
		message, kind := buffer[:n], byte(129)
		if p.packet.Protocol == traffic.ICMP {
			message, kind = message[4*(message[0]&0xf):], 0 // behind the IPv4 header
		}
		if len(message) >= 8 && message[0] == kind &&
			binary.BigEndian.Uint16(message[4:]) == p.id && binary.BigEndian.Uint16(message[6:]) == p.sequence {
			return true
		}
	}
}
