package nft

import (
	"context"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// holding is a plan that holds node one's pod ranges, of which only b is known.
// No policy selects anybody.
func holding(w *kerneltest.World) *plan.Plan {
	p := plan.New(kerneltest.NodeOne)
	for _, r := range []plan.Range{
		{First: netip.MustParseAddr("10.1.1.0"), Last: netip.MustParseAddr("10.1.1.255")},
		{First: netip.MustParseAddr("fd00:1:1::"), Last: netip.MustParseAddr("fd00:1:1::ffff:ffff:ffff:ffff")},
	} {
		p.Held[r] = struct{}{}
	}
	for _, addr := range w.Both("b") {
		p.Known[addr] = struct{}{}
	}
	return p
}

// known is the change by which pod a comes to be known, or is gone.
func known(w *kerneltest.World, p *plan.Plan, is bool) plan.Diff {
	d := plan.Diff{Known: map[netip.Addr]plan.Edit[struct{}]{}}
	for _, addr := range w.Both("a") {
		d.Known[addr] = plan.Edit[struct{}]{Had: !is, Has: is}
	}
	d.Apply(p)
	return d
}

// TestPodsAreHeldUntilTheyAreKnown: nobody but its own node talks with a pod
// that is not known, whoever begins.
func TestPodsAreHeldUntilTheyAreKnown(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		ctx := context.Background()
		d := open(t, w.Place("one"), Options{})
		p := holding(w)
		apply(t, d, p)
		denied := counted(t, d)
		prober := kerneltest.NewProber(t, w, denied)
		// tries are packets of all protocols between a and everybody else.
		tries := func(want traffic.Verdict) {
			t.Helper()
			for _, other := range []string{"b", "c", kerneltest.Outside, kerneltest.NodeTwo} {
				for i := range 2 {
					for _, protocol := range testProtocols[:3] {
						for _, way := range [][2]string{{"a", other}, {other, "a"}} {
							packet := plan.Packet{From: w.Both(way[0])[i], To: w.Both(way[1])[i], Protocol: protocol, Port: 80}
							if got := prober.Send(way[0], way[1], packet); got != want {
								t.Errorf("%s %s to %s: %s, want %s", protocol, packet.From, packet.To, got, want)
							}
						}
					}
				}
			}
		}
		tries(traffic.Deny)
		for i := range 2 {
			w.Connect(t, denied, traffic.TCP, "one", "a", dest(w.Both("a")[i], 9000), 9000).Passes()
			w.Connect(t, denied, traffic.TCP, "b", "c", dest(w.Both("c")[i], 8080), 8080).Passes()
			w.Connect(t, denied, traffic.UDP, "outside", "b", dest(w.Both("b")[i], 53), 53).Passes()
		}
		if live, err := d.Live(ctx); err != nil || !plan.Compare(live, Shown(p)).Empty() {
			t.Errorf("live plan differs (%v):\n%s", err, plan.Compare(live, Shown(p)).Text())
		}
		if err := d.Update(ctx, known(w, p, true), p); err != nil {
			t.Fatal(err)
		}
		tries(traffic.Allow)
		if err := d.Update(ctx, known(w, p, false), p); err != nil {
			t.Fatal(err)
		}
		tries(traffic.Deny)
	})
}

// TestTheNodesAddressAmongItsPods: a bridge has an address out of the pods'
// range, which no pod or node of the cluster claims. Its pods and others reach it
// as ever.
func TestTheNodesAddressAmongItsPods(t *testing.T) {
	w := kerneltest.NewWorld(t, network.Bridged)
	d := open(t, w.Place("one"), Options{})
	p := holding(w)
	apply(t, d, p)
	denied := counted(t, d)
	sh(t, w, "one", `b=$(ip -o link show type bridge | cut -d ' ' -f 2 | tr -d :); ip address add 10.1.1.200/32 dev $b; ip address add fd00:1:1::200/128 dev $b nodad`)
	for _, own := range []string{"10.1.1.200", "fd00:1:1::200"} {
		addr := netip.MustParseAddr(own)
		w.Connect(t, denied, traffic.TCP, "b", "one", dest(addr, 22), 22).Passes()
		w.Connect(t, denied, traffic.UDP, "one", "one", dest(addr, 53), 53).Passes()
	}
	if n := denied(); n != 0 {
		t.Errorf("%d packets were held", n)
	}
}
