package plan

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

const held = `plan n
held 10.0.0.0-10.0.0.255
held 10.0.1.7-10.0.1.7
held fd00::-fd00::ff
known 10.0.0.9
known fd00::9
local 10.0.0.9 egress 00000000 ingress 00000001
class 00000001 ingress default deny
`

func TestUnknownAddressesAreHeld(t *testing.T) {
	p, err := Parse(held)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		from, to         string
		fromNode, toNode bool
		want             traffic.Verdict
		why              string
	}{
		{"192.0.2.1", "10.0.0.8", false, false, traffic.Deny, "to a pod that nobody knows"},
		{"10.0.0.8", "192.0.2.1", false, false, traffic.Deny, "from a pod that nobody knows"},
		{"10.0.0.8", "10.0.0.8", false, false, traffic.Deny, "back to itself by way of a service"},
		{"192.0.2.1", "10.0.1.7", false, false, traffic.Deny, "to the one address of a range"},
		{"192.0.2.1", "10.0.1.8", false, false, traffic.Allow, "next to it"},
		{"192.0.2.1", "fd00::8", false, false, traffic.Deny, "IPv6"},
		{"fd00::9", "2001:db8::1", false, false, traffic.Allow, "from a pod that is known and that no policy selects"},
		{"10.0.0.9", "192.0.2.1", false, false, traffic.Allow, "from a pod that is known, in a direction without policies"},
		{"192.0.2.1", "10.0.0.9", false, false, traffic.Deny, "to a pod that is known: its class decides"},
		{"10.0.0.1", "10.0.0.8", true, false, traffic.Allow, "from the node"},
		{"10.0.0.9", "10.0.0.1", false, true, traffic.Allow, "to the node's address among its pods'"},
		{"10.0.0.8", "10.0.0.1", false, true, traffic.Deny, "to the node, from a pod that nobody knows"},
	} {
		packet := Packet{From: netip.MustParseAddr(row.from), To: netip.MustParseAddr(row.to), FromNode: row.fromNode, ToNode: row.toNode}
		if got := p.Trace(packet); got != row.want {
			t.Errorf("%s: %s", row.why, got)
		}
		if got := NewIndex(p).Trace(packet); got != row.want {
			t.Errorf("%s: index says %s", row.why, got)
		}
	}
}

func TestScopeHasAddressesWhosePodIsGone(t *testing.T) {
	p, err := Parse(held)
	if err != nil {
		t.Fatal(err)
	}
	after := clone(t, p)
	delete(after.Known, netip.MustParseAddr("10.0.0.9"))
	after.Known[netip.MustParseAddr("10.0.0.8")] = struct{}{}
	after.Held[Range{netip.MustParseAddr("10.0.2.7"), netip.MustParseAddr("10.0.2.7")}] = struct{}{}
	d := Compare(p, after)
	for _, row := range []struct {
		addr string
		want bool
	}{{"10.0.0.9", true}, {"10.0.0.8", false}, {"10.0.2.7", true}, {"10.0.1.7", false}} {
		if got := d.Scope().Contains(after, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr(row.addr)); got != row.want {
			t.Errorf("connections to %s concerned: %v, want %v", row.addr, got, row.want)
		}
	}
	after.Held[Range{netip.MustParseAddr("10.0.3.0"), netip.MustParseAddr("10.0.3.255")}] = struct{}{}
	if s := Compare(p, after).Scope(); !s.All {
		t.Error("a new range does not concern every connection")
	}
}
