package nft

import (
	"context"
	"fmt"
	"testing"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// tracking makes the kernel track connections before our table exists, as
// kube-proxy does.
const tracking = `nft 'table inet other { chain c { type filter hook forward priority 0; ct state new counter; }; }'`

// TestConnectionsFromBefore: entries that were made before our table have no
// room for a label. They are judged packet by packet, both ways.
func TestConnectionsFromBefore(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		sh(t, w, "one", tracking)
		d := open(t, w.Place("one"), Options{})
		denied := counted(t, d)
		var talks, exempt []*kerneltest.Talk
		for i := range 2 {
			talks = append(talks,
				w.Connect(t, denied, traffic.TCP, "a", "b", dest(w.Both("b")[i], 8080), 8080),
				w.Connect(t, denied, traffic.UDP, "a", "c", dest(w.Both("c")[i], 53), 53),
				w.Connect(t, denied, traffic.TCP, "c", "b", dest(w.Both("b")[i], 8081), 8081),
				w.Connect(t, denied, traffic.UDP, "outside", "b", dest(w.Both("b")[i], 5000), 5000),
				w.Connect(t, denied, traffic.TCP, "a", "one", dest(w.Both("one")[i], 22), 22))
			exempt = append(exempt, w.Connect(t, denied, traffic.TCP, "one", "a", dest(w.Both("a")[i], 9000), 9000))
		}
		for _, talk := range append(exempt, talks...) {
			talk.Passes()
		}
		apply(t, d, w.Isolated(t, "a egress b TCP 8080", "b ingress a TCP 8080", "a egress c UDP 53",
			"b ingress c TCP 8081", "b ingress outside UDP 5000", "a egress one TCP 22"))
		for range 2 {
			for _, talk := range append(exempt, talks...) {
				talk.Passes()
			}
		}
		if n := denied(); n != 0 {
			t.Errorf("%d packets were denied", n)
		}
		apply(t, d, w.Isolated(t))
		for _, talk := range talks {
			talk.Stops()
		}
		for _, talk := range exempt {
			talk.Passes()
		}
	})
}

// TestConnectionsThatNobodyTracked: the table is the first to track connections,
// which it meets midway, from either side.
func TestConnectionsThatNobodyTracked(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		denied := counted(t, d)
		for i := range 2 {
			talk := w.Connect(t, denied, traffic.TCP, "a", "c", dest(w.Both("c")[i], 8080), 8080)
			apply(t, d, w.Isolated(t, "a egress c TCP 8080"))
			talk.Passes()
			other := w.Connect(t, denied, traffic.TCP, "a", "c", dest(w.Both("c")[i], 8080), 8080)
			other.Passes()
			apply(t, d, w.Isolated(t))
			sh(t, w, "one", "conntrack -F 2>&1")
			other.Stops()
			if err := d.Delete(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestDeletedEntryDoesNotTurnRound: somebody deletes the entry of a connection
// that is not allowed any more. The server's next packet would make a new one in
// which it is the one who asked, and the pods may connect that way.
func TestDeletedEntryDoesNotTurnRound(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		denied := counted(t, d)
		p := w.Isolated(t, "b ingress a TCP 8080")
		for addr, local := range p.Local { // nobody is isolated but b, for ingress
			p.Local[addr] = plan.Local{}
			if addr == w.V4("b") || addr == w.V6("b") {
				p.Local[addr] = plan.Local{Ingress: local.Ingress}
			}
		}
		for i := range 2 {
			apply(t, d, p)
			talk := w.Connect(t, denied, traffic.TCP, "a", "b", dest(w.Both("b")[i], 8080), 8080)
			talk.Passes()
			closed := plan.New("one")
			plan.Compare(closed, p).Apply(closed)
			clear(closed.Classes[4].Rows)
			apply(t, d, closed)
			sh(t, w, "one", "conntrack -F 2>&1")
			talk.StopsToClient()
			talk.StopsToServer()
			talk.StopsToClient()
		}
	})
}

// TestLabel: an allowed connection carries our bit and no other.
func TestLabel(t *testing.T) {
	w := kerneltest.NewWorld(t, 0)
	d := open(t, w.Place("one"), Options{})
	apply(t, d, w.Isolated(t, "a egress c TCP 8080"))
	w.Connect(t, counted(t, d), traffic.TCP, "a", "c", dest(w.V4("c"), 8080), 8080).Passes()
	ct, err := conntrack.Dial(&netlink.Config{NetNS: w.Place("one").FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer ct.Close()
	flows, err := ct.Dump(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", label(127))
	for _, f := range flows {
		if f.TupleOrig.IP.SourceAddress == w.V4("a") {
			if got := fmt.Sprintf("%x", f.Labels); got != want {
				t.Errorf("label %s, want %s", got, want)
			}
			return
		}
	}
	t.Error("the connection is not tracked")
}

// TestFragments: packets are judged whole.
func TestFragments(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		prober := kerneltest.NewProber(t, w, counted(t, d))
		prober.Padding = 4000
		apply(t, d, w.Isolated(t, "a egress c UDP 53", "a egress b UDP 53", "b ingress a UDP 53"))
		for i := range 2 {
			for _, to := range []string{"b", "c"} {
				for port, want := range map[uint16]traffic.Verdict{53: traffic.Allow, 54: traffic.Deny} {
					packet := plan.Packet{From: w.Both("a")[i], To: w.Both(to)[i], Protocol: traffic.UDP, Port: port}
					if got := prober.Send("a", to, packet); got != want {
						t.Errorf("fragments to %s port %d: %s, want %s", packet.To, port, got, want)
					}
				}
			}
		}
	})
}

// TestNeighbourDiscovery: pods on a bridge find each other with everything
// denied but one port.
func TestNeighbourDiscovery(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		d := open(t, w.Place("one"), Options{})
		apply(t, d, w.Isolated(t, "a egress b TCP 80", "b ingress a TCP 80"))
		if w.Mode().String() == "bridge" { // elsewhere neighbours are set by hand
			for _, place := range []string{"a", "b", "one"} {
				sh(t, w, place, "ip -6 neigh flush all")
			}
		}
		w.Connect(t, counted(t, d), traffic.TCP, "a", "b", dest(w.V6("b"), 80), 80).Passes()
	})
}

// TestUntracked: packets that conntrack was told to leave alone are judged one
// by one, each as a request.
func TestUntracked(t *testing.T) {
	eachMode(t, func(t *testing.T, w *kerneltest.World) {
		sh(t, w, "one", `nft 'table inet raw { chain c { type filter hook prerouting priority raw; udp dport 53 notrack; udp sport 53 notrack; }; }'`)
		d := open(t, w.Place("one"), Options{})
		prober := kerneltest.NewProber(t, w, counted(t, d))
		apply(t, d, w.Isolated(t, "a egress c UDP 53", "b ingress c UDP 53"))
		for i := range 2 {
			for _, row := range []struct {
				from, to string
				want     traffic.Verdict
			}{{"a", "c", traffic.Allow}, {"c", "a", traffic.Deny}, {"c", "b", traffic.Allow}, {"b", "c", traffic.Deny}} {
				packet := plan.Packet{From: w.Both(row.from)[i], To: w.Both(row.to)[i], Protocol: traffic.UDP, Port: 53}
				if got := prober.Send(row.from, row.to, packet); got != row.want {
					t.Errorf("%s to %s: %s, want %s", row.from, row.to, got, row.want)
				}
			}
		}
	})
}
