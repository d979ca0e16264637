package kerneltest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Prober sends single packets, each the first of a connection, and sees whether
// they arrive. It waits for no time to pass: a packet arrives, or it is counted
// as denied.
type Prober struct {
	// Padding is how many bytes to add to a UDP packet.
	Padding int

	t      testing.TB
	world  *World
	denied func() uint64 // how many packets were denied so far
	sends  map[sender]int
	taps   map[tap]int
	serial uint32
}

type sender struct {
	place    string
	from     netip.Addr
	protocol traffic.Protocol
}

type tap struct {
	place    string
	v4       bool
	protocol traffic.Protocol
}

// NewProber makes a prober that ends with the test.
func NewProber(t testing.TB, w *World, denied func() uint64) *Prober {
	p := &Prober{t: t, world: w, denied: denied, sends: map[sender]int{}, taps: map[tap]int{}}
	t.Cleanup(func() {
		for _, fd := range p.sends {
			unix.Close(fd)
		}
		for _, fd := range p.taps {
			unix.Close(fd)
		}
	})
	return p
}

// patience is how long a packet may take to arrive or to be counted, before the
// test fails for having lost it.
const patience = 10 * time.Second

// Send sends the packet from one place and tells whether it arrives at another.
func (p *Prober) Send(from, to string, packet plan.Packet) traffic.Verdict {
	p.t.Helper()
	return p.SendMade(from, to, packet, func(mark []byte) []byte { return p.segment(packet, mark) })
}

// SendMade is Send for what stands behind the IP header as somebody makes it. The
// mark by which it is known must be in it.
func (p *Prober) SendMade(from, to string, packet plan.Packet, segment func(mark []byte) []byte) traffic.Verdict {
	p.t.Helper()
	tap := p.tap(to, packet)
	p.serial++
	mark := binary.BigEndian.AppendUint32([]byte("mark"), p.serial)
	before := p.denied()
	p.send(from, packet, segment(mark))
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if arrived(p.t, tap, mark) {
			return traffic.Allow
		}
		if p.denied() != before {
			return traffic.Deny
		}
	}
	p.t.Fatalf("packet %+v from %s to %s neither arrived nor was denied", packet, from, to)
	return traffic.Deny
}

func (p *Prober) send(from string, packet plan.Packet, segment []byte) {
	p.t.Helper()
	fd := p.sender(sender{from, packet.From, packet.Protocol})
	err := unix.Sendto(fd, segment, 0, sockaddr(packet.To))
	if errors.Is(err, unix.EPERM) {
		return // denied where it was sent
	}
	if err != nil {
		p.t.Fatalf("send %+v from %s: %v", packet, from, err)
	}
}

// sender is a raw socket for a protocol, bound to an address at a place.
func (p *Prober) sender(s sender) int {
	p.t.Helper()
	if fd, ok := p.sends[s]; ok {
		return fd
	}
	fd := p.raw(s.place, s.from, s.protocol, func(fd int) error { return unix.Bind(fd, sockaddr(s.from)) })
	p.sends[s] = fd
	return fd
}

// tap is a raw socket that gets what is delivered at a place. It stands behind all hooks, unlike a packet socket.
func (p *Prober) tap(place string, packet plan.Packet) int {
	p.t.Helper()
	key := tap{place, packet.To.Is4(), packet.Protocol}
	if fd, ok := p.taps[key]; ok {
		return fd
	}
	fd := p.raw(place, packet.To, packet.Protocol, func(int) error { return nil })
	p.taps[key] = fd
	return fd
}

func (p *Prober) raw(place string, like netip.Addr, protocol traffic.Protocol, prepare func(fd int) error) int {
	p.t.Helper()
	family := unix.AF_INET6
	if like.Is4() {
		family = unix.AF_INET
	}
	var fd int
	err := p.world.Place(place).Do(func() error {
		var err error
		if fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol)); err != nil {
			return err
		}
		return prepare(fd)
	})
	if err != nil {
		p.t.Fatalf("open raw socket for %s in %s: %v", protocol, place, err)
	}
	return fd
}

func arrived(t testing.TB, tap int, mark []byte) bool {
	buffer := make([]byte, 65536)
	for {
		n, _, err := unix.Recvfrom(tap, buffer, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		if err != nil {
			t.Fatalf("read packets: %v", err)
		}
		if bytes.Contains(buffer[:n], mark) {
			return true
		}
	}
}

func sockaddr(addr netip.Addr) unix.Sockaddr {
	if addr.Is4() {
		return &unix.SockaddrInet4{Addr: addr.As4()}
	}
	return &unix.SockaddrInet6{Addr: addr.As16()}
}

// segment is the packet without its IP header, with the mark in it.
func (p *Prober) segment(packet plan.Packet, mark []byte) []byte {
	source := uint16(1024 + p.serial%60000)
	head := binary.BigEndian.AppendUint16(nil, source)
	head = binary.BigEndian.AppendUint16(head, packet.Port)
	switch packet.Protocol {
	case traffic.TCP:
		const syn, words = 2, 5
		s := append(head, make([]byte, 16)...)
		binary.BigEndian.PutUint32(s[4:], p.serial)
		s[12], s[13] = words<<4, syn
		binary.BigEndian.PutUint16(s[14:], 65535) // window
		return WithChecksum(packet, append(s, mark...), 16)
	case traffic.UDP:
		mark = append(mark, make([]byte, p.Padding)...)
		s := append(binary.BigEndian.AppendUint16(head, uint16(8+len(mark))), 0, 0)
		return WithChecksum(packet, append(s, mark...), 6)
	case traffic.SCTP:
		return sctpInit(head, mark)
	case traffic.ICMP, traffic.ICMPv6:
		return WithChecksum(packet, echo(packet.Port, source, mark), 2)
	}
	p.t.Fatalf("cannot make a packet of protocol %s", packet.Protocol)
	return nil
}

// echo is an echo request, or what a type and code makes of it.
func echo(kind, id uint16, mark []byte) []byte {
	s := []byte{byte(kind >> 8), byte(kind), 0, 0, byte(id >> 8), byte(id), 0, 1}
	return append(s, mark...)
}

// sctpInit is a packet with an INIT chunk (RFC 9260, 3.3.2); the mark is its
// initiate tag and receiver window.
func sctpInit(head, mark []byte) []byte {
	s := append(head, 0, 0, 0, 0, 0, 0, 0, 0) // verification tag, checksum
	s = append(s, 1, 0, 0, 20)                // INIT, its length
	s = append(s, mark...)
	s = append(s, 0, 1, 0, 1, 0, 0, 0, 1) // one stream each way, first TSN
	binary.LittleEndian.PutUint32(s[8:], crc32.Checksum(s, crc32.MakeTable(crc32.Castagnoli)))
	return s
}

// WithChecksum fills in the internet checksum at an offset. All but ICMP include
// a pseudo header.
func WithChecksum(packet plan.Packet, s []byte, offset int) []byte {
	var pseudo []byte
	if packet.Protocol != traffic.ICMP {
		pseudo = append(packet.From.AsSlice(), packet.To.AsSlice()...)
		pseudo = append(pseudo, 0, byte(packet.Protocol))
		pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(s)))
	}
	binary.BigEndian.PutUint16(s[offset:], Checksum(append(pseudo, s...)))
	return s
}

// Checksum is the internet checksum (RFC 1071).
func Checksum(b []byte) uint16 {
	var sum uint32
	for len(b) >= 2 {
		sum += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
