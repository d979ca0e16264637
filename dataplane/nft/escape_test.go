package nft

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TestFragmentsAreNoWayAround: only the first fragment has ports. The rest goes
// where it goes, and alone nowhere.
func TestFragmentsAreNoWayAround(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t, "a egress c UDP 53"))
		prober := kerneltest.NewProber(t, w, stopped(t, d))
		prober.Padding = 4000
		for i := range 2 {
			for port, want := range map[uint16]traffic.Verdict{53: traffic.Allow, 54: traffic.Deny} {
				packet := plan.Packet{From: w.Both("a")[i], To: w.Both("c")[i], Protocol: traffic.UDP, Port: port}
				if got := prober.Send("a", "c", packet); got != want {
					t.Errorf("fragments to port %d of %s: %s, want %s", port, packet.To, got, want)
				}
			}
		}
	})
}

// TestRawProtocolsAreNoWayAround: a raw socket can send protocols that nobody
// has heard of.
func TestRawProtocolsAreNoWayAround(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		p := w.Isolated(t)
		for _, addr := range w.Both("b") {
			delete(p.Local, addr)
		}
		apply(t, d, p)
		prober := kerneltest.NewProber(t, w, stopped(t, d))
		for i := range 2 {
			for _, protocol := range []traffic.Protocol{99, 253} {
				for pod, want := range map[string]traffic.Verdict{"a": traffic.Deny, "b": traffic.Allow} {
					packet := plan.Packet{From: w.Both(pod)[i], To: w.Both("c")[i], Protocol: protocol}
					if got := prober.SendMade(pod, "c", packet, func(mark []byte) []byte { return mark }); got != want {
						t.Errorf("protocol %d from pod %s to %s: %s, want %s", protocol, pod, packet.To, got, want)
					}
				}
			}
		}
	})
}

// TestErrorsAreNoWayAround: an ICMP error about a connection passes because of it.
// Pod a may send nothing, and not by quoting what pod b may either; pod b may send
// errors about its own connection.
func TestErrorsAreNoWayAround(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t, "b egress c UDP 53"))
		prober := kerneltest.NewProber(t, w, stopped(t, d))
		const port = 5555
		for i, protocol := range []traffic.Protocol{traffic.ICMP, traffic.ICMPv6} {
			b, c := netip.AddrPortFrom(w.Both("b")[i], port), netip.AddrPortFrom(w.Both("c")[i], 53)
			datagram(t, w, b, c)
			for pod, want := range map[string]traffic.Verdict{"a": traffic.Deny, "b": traffic.Allow} {
				packet := plan.Packet{From: w.Both(pod)[i], To: c.Addr(), Protocol: protocol}
				got := prober.SendMade(pod, "c", packet, func(mark []byte) []byte { return unreachable(packet, c, b, mark) })
				if got != want {
					t.Errorf("an error of pod %s about b's connection with %s: %s, want %s", pod, c.Addr(), got, want)
				}
			}
		}
	})
}

// datagram sends one from pod b.
func datagram(t *testing.T, w *kerneltest.World, from, to netip.AddrPort) {
	t.Helper()
	err := w.Place("b").Do(func() error {
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("x"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// unreachable is the ICMP or ICMPv6 error that a port is unreachable, about a
// datagram.
func unreachable(packet plan.Packet, from, to netip.AddrPort, mark []byte) []byte {
	datagram := binary.BigEndian.AppendUint16(nil, from.Port())
	datagram = binary.BigEndian.AppendUint16(datagram, to.Port())
	datagram = append(binary.BigEndian.AppendUint16(datagram, uint16(8+len(mark))), 0, 0)
	datagram = append(datagram, mark...)
	s := []byte{3, 3, 0, 0, 0, 0, 0, 0}
	var head []byte
	if packet.Protocol == traffic.ICMPv6 {
		s[0], s[1] = 1, 4
		head = make([]byte, 8, 40)
		head[0], head[6], head[7] = 6<<4, byte(traffic.UDP), 64
		binary.BigEndian.PutUint16(head[4:], uint16(len(datagram)))
		head = append(append(head, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	} else {
		head = make([]byte, 12, 20)
		head[0], head[8], head[9] = 4<<4|5, 64, byte(traffic.UDP)
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(datagram)))
		head = append(append(head, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(head[10:], kerneltest.Checksum(head))
	}
	return kerneltest.WithChecksum(packet, append(append(s, head...), datagram...), 2)
}
