package conntrack

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TestCutPings: a change that is about pings cuts those, and nothing that is of
// another type of ICMP or another protocol.
func TestCutPings(t *testing.T) {
	eachMode(t, func(t *testing.T, n *node) {
		rows := []string{"b egress c ICMP 2048", "b egress c ICMPv6 32768", "a egress c UDP 53"}
		pings := []string{"a egress c ICMP 2048", "a egress c ICMPv6 32768"}
		others := []string{"a egress c ICMP 2304", "a egress c ICMPv6 33024"} // types 9 and 129
		n.become(n.Isolated(t, append(append(rows, pings...), others...)...))
		var kept, victims []*kerneltest.Ping
		for i := range 2 {
			victims = append(victims, n.Ping(t, "a", n.Both("a")[i], n.Both("c")[i]))
			kept = append(kept, n.Ping(t, "b", n.Both("b")[i], n.Both("c")[i]))
		}
		talk := n.talk(traffic.UDP, "a", "c", 0, 53)
		answer := func(all []*kerneltest.Ping, want traffic.Verdict) {
			t.Helper()
			for _, p := range all {
				if got := p.Send(n.denied); got != want {
					t.Errorf("ping: %s, want %s", got, want)
				}
			}
		}
		answer(victims, traffic.Allow)
		answer(kept, traffic.Allow)
		if count := n.become(n.Isolated(t, append(rows, others...)...)); count.Cut != len(victims) {
			t.Errorf("%d connections were cut, want %d", count.Cut, len(victims))
		}
		answer(victims, traffic.Deny)
		answer(kept, traffic.Allow)
		talk.Passes()
	})
}
