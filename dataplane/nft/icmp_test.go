package nft

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// pings are rows that let a ping, and nothing else of ICMP, from a pod.
func pings(pod, peer string) []string {
	return []string{pod + " egress " + peer + " ICMP 2048", pod + " egress " + peer + " ICMPv6 32768"}
}

// TestPing: what a rule says of a type is said of requests; the answer has
// another and passes.
func TestPing(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		denied := counted(t, d)
		apply(t, d, w.Isolated(t, append(pings("a", "c"), "b egress c ICMP 2304", "b egress c ICMPv6 33024")...))
		for i := range 2 {
			for pod, want := range map[string]traffic.Verdict{"a": traffic.Allow, "b": traffic.Deny} {
				ping := w.Ping(t, pod, w.Both(pod)[i], w.Both("c")[i])
				for range 2 {
					if got := ping.Send(denied); got != want {
						t.Errorf("ping from %s to c: %s, want %s", pod, got, want)
					}
				}
			}
		}
	})
}

// TestPingFromBefore: a connection from before has no room for a label, and each
// packet of it is judged. The answers are judged as their requests.
func TestPingFromBefore(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		sh(t, w, "one", "nft add table inet track; nft add chain inet track c '{ type filter hook prerouting priority 0; ct state new accept; }'")
		var before []*kerneltest.Ping
		for i := range 2 {
			before = append(before, w.Ping(t, "a", w.Both("a")[i], w.Both("c")[i]), w.Ping(t, "c", w.Both("c")[i], w.Both("b")[i]))
		}
		none := func() uint64 { return 0 }
		for _, ping := range before {
			if ping.Send(none) != traffic.Allow {
				t.Fatal("no answer without policies")
			}
		}
		d := open(t, w.Place("one"), Options{})
		denied := counted(t, d)
		apply(t, d, w.Isolated(t, append(pings("a", "c"), "b ingress c ICMP 2048", "b ingress c ICMPv6 32768")...))
		for _, ping := range before {
			if got := ping.Send(denied); got != traffic.Allow {
				t.Errorf("with a rule for pings: %s", got)
			}
		}
		apply(t, d, w.Isolated(t, "a egress c ICMP 0", "b ingress c ICMP 0", "a egress c ICMPv6 33024", "b ingress c ICMPv6 33024"))
		for _, ping := range before {
			if got := ping.Send(denied); got != traffic.Deny {
				t.Errorf("with a rule for answers only: %s", got)
			}
		}
	})
}
