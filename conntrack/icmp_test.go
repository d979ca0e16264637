package conntrack

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"
	timo "github.com/ti-mo/conntrack"

	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TestErrorsOfCutConnections: ICMP errors of a connection pass, whatever the
// policies say of ICMP, until the connection is cut.
func TestErrorsOfCutConnections(t *testing.T) {
	n := newNode(t, network.Routed)
	// The fence is a connection of its own that goes the same way as the errors.
	n.become(n.Isolated(t, "a ingress c UDP 53", "a egress c UDP 54"))
	talk := n.talk(traffic.UDP, "a", "c", 0, 54)
	fence := n.talk(traffic.UDP, "c", "a", 0, 53)
	from := n.find("a", "c")
	errorAbout := func(mark string) {
		t.Helper()
		n.sendError(t, "c", from, mark)
	}
	heard := n.hearErrors(t, "a")
	errorAbout("before")
	if got := <-heard; got != "before" {
		t.Fatalf("heard %q, want the error before the cut", got)
	}
	n.become(n.Isolated(t, "a ingress c UDP 53"))
	talk.Stops()
	errorAbout("after")
	fence.Passes()
	select {
	case got := <-heard:
		t.Errorf("heard %q after the cut", got)
	default:
	}
	conns, err := n.table.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		if c.From == n.V4("a") && (c.Allowed || !c.Cut || c.Port != 54 || c.Protocol != traffic.UDP) {
			t.Errorf("the kernel has %+v", c)
		}
	}
}

// find is the source of the connection from one place to another.
func (n *node) find(from, to string) netip.AddrPort {
	n.t.Helper()
	ct, err := timo.Dial(&netlink.Config{NetNS: n.Place("one").FD()})
	if err != nil {
		n.t.Fatal(err)
	}
	defer ct.Close()
	flows, err := ct.Dump(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range flows {
		if f.TupleOrig.IP.SourceAddress == n.V4(from) && f.TupleOrig.IP.DestinationAddress == n.V4(to) {
			return netip.AddrPortFrom(n.V4(from), f.TupleOrig.Proto.SourcePort)
		}
	}
	n.t.Fatalf("no connection from %s to %s", from, to)
	return netip.AddrPort{}
}

// sendError sends the ICMP error that port 54 is closed, about a datagram from
// there. The mark is the datagram's content.
func (n *node) sendError(t *testing.T, place string, about netip.AddrPort, mark string) {
	t.Helper()
	const typeUnreachable, codePort = 3, 3
	head := []byte{0x45, 0, 0, byte(28 + len(mark)), 0, 0, 0, 0, 64, byte(traffic.UDP), 0, 0}
	head = append(append(head, about.Addr().AsSlice()...), n.V4(place).AsSlice()...)
	binary.BigEndian.PutUint16(head[10:], checksum(head))
	udp := binary.BigEndian.AppendUint16(nil, about.Port())
	udp = append(udp, 0, 54, 0, byte(8+len(mark)), 0, 0)
	message := append([]byte{typeUnreachable, codePort, 0, 0, 0, 0, 0, 0}, append(append(head, udp...), mark...)...)
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	err := n.Place(place).Do(func() error {
		conn, err := net.Dial("ip4:icmp", about.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write(message)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i, v := range b {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// hearErrors gives the marks of the ICMP errors that come to a place.
func (n *node) hearErrors(t *testing.T, place string) <-chan string {
	t.Helper()
	var conn net.PacketConn
	err := n.Place(place).Do(func() error {
		var err error
		conn, err = net.ListenPacket("ip4:icmp", n.V4(place).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	marks := make(chan string, 10)
	go func() {
		defer close(marks)
		for b := make([]byte, 512); ; {
			size, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			const typeUnreachable, headers = 3, 8 + 20 + 8
			if b[0] == typeUnreachable && size > headers {
				marks <- string(b[headers:size])
			}
		}
	}()
	return marks
}
