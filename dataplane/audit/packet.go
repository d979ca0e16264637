package audit

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// readPacket reads the head of an IP packet. It comes from a pod, so nothing in
// it is believed before its length is checked.
func (d *Denial) readPacket(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	var rest []byte
	var first, ok bool
	switch b[0] >> 4 {
	case 4:
		rest, first, ok = d.readIPv4(b)
	case 6:
		rest, first, ok = d.readIPv6(b)
	}
	if ok && first && d.Protocol.HasPorts() && len(rest) >= 4 {
		d.FromPort, d.ToPort = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	}
	return ok
}

// readIPv4 returns what is behind the header, and whether it is the beginning
// of the payload and not a later fragment.
func (d *Denial) readIPv4(b []byte) (rest []byte, first, ok bool) {
	const shortest, maskOffset = 20, 0x1fff
	if len(b) < shortest {
		return nil, false, false
	}
	length := int(b[0]&0xf) * 4
	if length < shortest || length > len(b) {
		return nil, false, false
	}
	d.From, d.To = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	d.Protocol = traffic.Protocol(b[9])
	return b[length:], binary.BigEndian.Uint16(b[6:])&maskOffset == 0, true
}

// readIPv6 goes past extension headers (RFC 8200, 4.1) as far as the packet is
// at hand.
func (d *Denial) readIPv6(b []byte) (rest []byte, first, ok bool) {
	const length, unit = 40, 8
	if len(b) < length {
		return nil, false, false
	}
	d.From, d.To = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	next, first := b[6], true
	for b = b[length:]; len(b) >= unit; {
		size := unit
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			size = (int(b[1]) + 1) * unit
		case unix.IPPROTO_FRAGMENT:
			first = binary.BigEndian.Uint16(b[2:])>>3 == 0
		default:
			d.Protocol = traffic.Protocol(next)
			return b, first, true
		}
		next, b = b[0], b[min(size, len(b)):]
	}
	d.Protocol = traffic.Protocol(next)
	return b, first, true
}
