package nft

import (
	"context"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// largePlan has 100,000 addresses in 1,000 groups, and 500 classes of 250 pods.
func largePlan() *plan.Plan {
	p := plan.New("one")
	addr := netip.MustParseAddr("10.0.0.1")
	for i := range 100_000 {
		id := plan.PeerID(i%1000 + 1)
		p.Addrs[addr] = id
		p.Peers[id] = []string{"pods {app=web}"}
		if i < 250 {
			p.Local[addr] = plan.Local{Egress: plan.ClassID(2*i + 1), Ingress: plan.ClassID(2*i + 2)}
			for j, direction := range []traffic.Direction{traffic.Egress, traffic.Ingress} {
				class := &plan.Class{Direction: direction, Policies: []string{"x/one", "x/two"}, Rows: map[plan.Row]traffic.Verdict{}}
				for k := range 10 {
					class.Rows[plan.Row{Peer: plan.PeerID(i + k), Protocol: traffic.TCP, From: 8080, To: 8080}] = traffic.Allow
				}
				p.Classes[plan.ClassID(2*i+1+j)] = class
			}
		}
		addr = addr.Next()
	}
	return p
}

func BenchmarkApply(b *testing.B) {
	ctx := context.Background()
	p := largePlan()
	d := open(b, newSpace(b), Options{})
	b.Run("to nothing", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := d.Delete(ctx); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			apply(b, d, p)
		}
	})
	b.Run("to itself", func(b *testing.B) {
		for b.Loop() {
			apply(b, d, p)
		}
	})
	b.Run("one address", func(b *testing.B) {
		addr := netip.MustParseAddr("10.200.0.1")
		edit := plan.Diff{Addrs: map[netip.Addr]plan.Edit[plan.PeerID]{addr: {New: 1, Has: true}}}
		back := plan.Diff{Addrs: map[netip.Addr]plan.Edit[plan.PeerID]{addr: {Old: 1, Had: true}}}
		for b.Loop() {
			for _, diff := range []plan.Diff{edit, back} {
				if err := d.Update(ctx, diff, p); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("one pod of the node", func(b *testing.B) {
		addr := netip.MustParseAddr("10.200.0.1")
		pod := plan.Local{Egress: 1, Ingress: 2}
		come := plan.Diff{Local: map[netip.Addr]plan.Edit[plan.Local]{addr: {New: pod, Has: true}}}
		gone := plan.Diff{Local: map[netip.Addr]plan.Edit[plan.Local]{addr: {Old: pod, Had: true}}}
		for b.Loop() {
			for _, diff := range []plan.Diff{come, gone} {
				if err := d.Update(ctx, diff, p); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("one class", func(b *testing.B) {
		class := &plan.Class{Direction: traffic.Ingress, Policies: []string{"x/new"}, Rows: map[plan.Row]traffic.Verdict{{Peer: 1}: traffic.Allow}}
		rows := map[plan.Row]plan.Edit[traffic.Verdict]{{Peer: 1}: {New: traffic.Allow, Has: true}}
		back := map[plan.Row]plan.Edit[traffic.Verdict]{{Peer: 1}: {Old: traffic.Allow, Had: true}}
		const id = 1 << 20
		for b.Loop() {
			for _, diff := range []plan.Diff{
				{Classes: map[plan.ClassID]plan.ClassEdit{id: {New: class, Rows: rows}}},
				{Classes: map[plan.ClassID]plan.ClassEdit{id: {Old: class, Rows: back}}},
			} {
				if err := d.Update(ctx, diff, p); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
