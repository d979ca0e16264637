package audit

import (
	"context"
	"errors"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// TestAuditedClassLetsThroughAndNotes: with real packets, on both pod networks.
func TestAuditedClassLetsThroughAndNotes(t *testing.T) {
	for _, mode := range []network.Mode{network.Routed, network.Bridged} {
		t.Run(mode.String(), func(t *testing.T) { auditedClass(t, kerneltest.NewWorld(t, mode)) })
	}
}

func auditedClass(t *testing.T, w *kerneltest.World) {
	node := w.Place(kerneltest.NodeOne)
	d, err := nft.New(nft.Options{NetNS: node.FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := Listen(node.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// All is denied but UDP to port 53 of b, and only b is enforced.
	p := w.Isolated(t, "b ingress c UDP 53", "b ingress a UDP 53")
	for _, id := range []plan.ClassID{1, 2} { // both directions of a
		p.Classes[id].Audit = true
	}
	if err := d.Apply(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	denied := func() uint64 {
		all, err := d.Denied(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return all[3].Packets + all[4].Packets // of b
	}
	prober := kerneltest.NewProber(t, w, denied)
	for i := range 2 {
		a, b, c := w.Both("a")[i], w.Both("b")[i], w.Both("c")[i]
		for _, row := range []struct {
			from, to string
			packet   plan.Packet
			want     traffic.Verdict
			noted    traffic.Direction // of a; zero: not
		}{
			{"c", "a", plan.Packet{From: c, To: a, Protocol: traffic.TCP, Port: 80}, traffic.Allow, traffic.Ingress},
			{"a", "c", plan.Packet{From: a, To: c, Protocol: traffic.UDP, Port: 53}, traffic.Allow, traffic.Egress},
			{"a", "b", plan.Packet{From: a, To: b, Protocol: traffic.UDP, Port: 53}, traffic.Allow, traffic.Egress},
			{"a", "b", plan.Packet{From: a, To: b, Protocol: traffic.UDP, Port: 54}, traffic.Deny, traffic.Egress},
			{"c", "b", plan.Packet{From: c, To: b, Protocol: traffic.UDP, Port: 54}, traffic.Deny, 0},
		} {
			if want := p.Trace(row.packet); want != row.want {
				t.Errorf("%+v: the plan says %s, want %s", row.packet, want, row.want)
			}
			if got := prober.Send(row.from, row.to, row.packet); got != row.want {
				t.Errorf("%+v: %s, want %s", row.packet, got, row.want)
			}
			if row.noted == 0 {
				continue
			}
			n, err := l.Next()
			if err != nil {
				t.Fatal(err)
			}
			if n.Direction != row.noted || n.From != row.packet.From || n.To != row.packet.To ||
				n.Protocol != row.packet.Protocol || n.ToPort != row.packet.Port {
				t.Errorf("%+v in %s: noted %+v", row.packet, row.noted, n)
			}
		}
	}
	live, err := d.Live(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := plan.Compare(nft.Shown(p), live); !diff.Empty() {
		t.Errorf("read back with a difference:\n%s", diff.Text())
	}
}

func TestCloseEndsNext(t *testing.T) {
	w := kerneltest.NewWorld(t, network.Routed)
	l, err := Listen(w.Place(kerneltest.NodeOne).FD())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := l.Next()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("ended with %v, want %v", err, ErrClosed)
	}
}
