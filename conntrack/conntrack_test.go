package conntrack

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/mdlayher/netlink"
	timo "github.com/ti-mo/conntrack"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// node is node one with its tables and connections.
type node struct {
	*kerneltest.World
	t         testing.TB
	dataplane *nft.Dataplane
	table     *Table
	plan      *plan.Plan
}

func eachMode(t *testing.T, test func(*testing.T, *node)) {
	for _, mode := range []network.Mode{network.Routed, network.Bridged} {
		t.Run(mode.String(), func(t *testing.T) { test(t, newNode(t, mode)) })
	}
}

func newNode(t testing.TB, mode network.Mode) *node {
	t.Helper()
	n := &node{World: kerneltest.NewWorld(t, mode), t: t, plan: plan.New(kerneltest.NodeOne)}
	var err error
	if n.dataplane, err = nft.New(nft.Options{NetNS: n.Place("one").FD()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.dataplane.Close() })
	if n.table, err = Open(n.Place("one").FD()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.table.Close() })
	if err := n.dataplane.Apply(context.Background(), n.plan); err != nil {
		t.Fatal(err)
	}
	return n
}

// become changes the tables to another plan and cuts what that denies.
func (n *node) become(next *plan.Plan) Count {
	n.t.Helper()
	ctx := context.Background()
	diff := plan.Compare(n.plan, next)
	if err := n.dataplane.Update(ctx, diff, next); err != nil {
		n.t.Fatal(err)
	}
	n.plan = next
	index := plan.NewIndex(next)
	var total Count
	for look := range 2 {
		if look > 0 {
			if err := Settle(ctx); err != nil {
				n.t.Fatal(err)
			}
		}
		count, err := n.table.Revoke(ctx, next, index, index.Scope(diff))
		if err != nil {
			n.t.Fatal(err)
		}
		total.Seen += count.Seen
		total.Cut += count.Cut
	}
	return total
}

func (n *node) denied() uint64 {
	all, err := n.dataplane.Denied(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	var sum uint64
	for _, d := range all {
		sum += d.Packets
	}
	return sum
}

func (n *node) talk(protocol traffic.Protocol, from, to string, family int, port uint16) *kerneltest.Talk {
	n.t.Helper()
	talk := n.Connect(n.t, n.denied, protocol, from, to, netip.AddrPortFrom(n.Both(to)[family], port), port)
	talk.Passes()
	return talk
}

// TestCut takes away what one connection lives on, in every way in which a plan
// can, and looks at that connection and at the others.
func TestCut(t *testing.T) {
	for name, away := range map[string]func(n *node, p *plan.Plan){
		"row at the sender":   func(_ *node, p *plan.Plan) { clear(p.Classes[1].Rows) },
		"row at the receiver": func(_ *node, p *plan.Plan) { clear(p.Classes[4].Rows) },
		"sender's group": func(n *node, p *plan.Plan) {
			for _, addr := range n.Both("a") {
				delete(p.Addrs, addr)
			}
		},
		"receiver's group": func(n *node, p *plan.Plan) {
			for _, addr := range n.Both("b") {
				p.Addrs[addr] = 9
			}
		},
		"class of the receiver": func(n *node, p *plan.Plan) {
			for _, addr := range n.Both("b") {
				p.Local[addr] = plan.Local{Egress: 3, Ingress: 2}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, protocol := range []traffic.Protocol{traffic.TCP, traffic.UDP} {
				for family := range 2 {
					eachMode(t, func(t *testing.T, n *node) { n.cut(t, protocol, family, away) })
				}
			}
		})
	}
}

// cut is for one family and a fresh node: the victim repeats its unanswered
// packets, and would live and be cut again with a second one.
func (n *node) cut(t *testing.T, protocol traffic.Protocol, family int, away func(*node, *plan.Plan)) {
	rows := []string{
		fmt.Sprintf("a egress b %s 8080", protocol), fmt.Sprintf("b ingress a %s 8080", protocol),
		fmt.Sprintf("b egress c %s 8081", protocol), fmt.Sprintf("a ingress c %s 8082", protocol),
	}
	n.become(n.Isolated(t, rows...))
	victim := n.talk(protocol, "a", "b", family, 8080)
	others := []*kerneltest.Talk{
		n.talk(protocol, "b", "c", family, 8081),
		n.talk(protocol, "c", "a", family, 8082),
		n.talk(protocol, "one", "a", family, 8083),
		n.talk(protocol, "one", "b", family, 8084),
		n.talk(protocol, "c", "outside", family, 8085),
	}
	next := n.Isolated(t, rows...)
	away(n, next)
	if count := n.become(next); count.Cut != 1 {
		t.Errorf("%d connections were cut, want 1", count.Cut)
	}
	for _, other := range others {
		other.Passes()
	}
	if protocol == traffic.UDP { // TCP's repeats of the unanswered packet would be counted
		victim.Stops()
	} else {
		victim.StopsToServer()
		victim.StopsToClient()
	}
	for _, other := range others {
		other.Passes()
	}
}

// TestCutConnectionComesBack when it is allowed again, with the next packet from
// either end.
func TestCutConnectionComesBack(t *testing.T) {
	eachMode(t, func(t *testing.T, n *node) {
		rows := []string{"a egress b TCP 8080", "b ingress a TCP 8080"}
		n.become(n.Isolated(t, rows...))
		talk := n.talk(traffic.TCP, "a", "b", 0, 8080)
		n.become(n.Isolated(t))
		talk.Stops()
		n.become(n.Isolated(t, rows...))
		talk.Passes()
	})
}

// TestHarmlessChangeDisturbsNothing: connections keep their label, so that no
// packet is judged again.
func TestHarmlessChangeDisturbsNothing(t *testing.T) {
	n := newNode(t, network.Routed)
	rows := []string{"a egress b TCP 8080", "b ingress a TCP 8080", "a egress b TCP 8081"}
	n.become(n.Isolated(t, rows...))
	talk := n.talk(traffic.TCP, "a", "b", 0, 8080)
	for _, next := range []*plan.Plan{
		n.Isolated(t, append(rows, "b ingress c TCP 8080")...), n.Isolated(t, rows...), n.Isolated(t, rows[:2]...),
	} {
		if count := n.become(next); count.Cut != 0 {
			t.Errorf("%d connections were cut", count.Cut)
		}
		talk.Passes()
	}
}

// TestOwnBitsOnly: cutting leaves other software's label bits and the mark.
func TestOwnBitsOnly(t *testing.T) {
	n := newNode(t, network.Routed)
	rows := []string{"a egress b TCP 8080", "b ingress a TCP 8080"}
	n.become(n.Isolated(t, rows...))
	n.talk(traffic.TCP, "a", "b", 0, 8080)
	ct, err := timo.Dial(&netlink.Config{NetNS: n.Place("one").FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer ct.Close()
	flow := n.flow(ct)
	foreign := []int{0, 63, 64, 121}
	set := flow
	set.Labels, set.LabelsMask, set.Mark = bits(foreign...), bits(foreign...), 77
	if err := ct.Update(set); err != nil {
		t.Fatal(err)
	}
	if got, want := n.flow(ct).Labels, bits(append(foreign, dataplane.LabelAllowed)...); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("label %x before the cut, want %x", got, want)
	}
	if count := n.become(n.Isolated(t)); count.Cut != 1 {
		t.Fatalf("%d connections were cut, want 1", count.Cut)
	}
	after := n.flow(ct)
	if got, want := after.Labels, bits(append(foreign, dataplane.LabelCut)...); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("label %x after the cut, want %x", got, want)
	}
	if after.Mark != 77 {
		t.Errorf("mark %d, want 77", after.Mark)
	}
}

// flow is the connection from a to b.
func (n *node) flow(ct *timo.Conn) timo.Flow {
	n.t.Helper()
	flows, err := ct.Dump(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range flows {
		if f.TupleOrig.IP.SourceAddress == n.V4("a") && f.TupleOrig.IP.DestinationAddress == n.V4("b") {
			return f
		}
	}
	n.t.Fatal("the connection is not tracked")
	return timo.Flow{}
}

// TestServiceConnection is judged by the pod behind the service, and cut by it.
func TestServiceConnection(t *testing.T) {
	eachMode(t, func(t *testing.T, n *node) {
		script := fmt.Sprintf(`table ip nat {
			chain p { type nat hook prerouting priority dstnat; ip daddr 10.96.0.1 tcp dport 80 dnat to %s:8080; }
			chain s { type nat hook postrouting priority srcnat; masquerade; }
		}`, n.V4("c"))
		err := n.Place("one").Do(func() error { return exec.Command("nft", script).Run() })
		if err != nil {
			t.Fatal(err)
		}
		n.become(n.Isolated(t, "a egress c TCP 8080"))
		talk := n.Connect(t, n.denied, traffic.TCP, "a", "c", netip.MustParseAddrPort("10.96.0.1:80"), 8080)
		talk.Passes()
		next := n.Isolated(t, "a egress c TCP 8080")
		next.Addrs[n.V4("c")] = 9 // the pod's labels changed; 10.96.0.1 is nobody
		if count := n.become(next); count.Cut != 1 {
			t.Errorf("%d connections were cut, want 1", count.Cut)
		}
		talk.Stops()
	})
}

// TestNothingSlipsThrough opens connections as fast as it can while they are
// allowed and denied in turn. After each denial none may have the label, also not
// one whose packet the tables judged in the moment before.
func TestNothingSlipsThrough(t *testing.T) {
	n := newNode(t, network.Routed)
	allowed, closed := n.Isolated(t, "a egress c UDP 53"), n.Isolated(t)
	n.become(allowed)
	var streams []*kerneltest.Stream
	for range 2 {
		streams = append(streams, n.Flood(t, "a", "c", n.V4("a"), n.V4("c"), 53))
	}
	ct, err := timo.Dial(&netlink.Config{NetNS: n.Place("one").FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer ct.Close()
	cut := 0
	for range 8 {
		cut += n.become(closed).Cut
		if err := Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
		conns, err := n.table.List(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			if c.Allowed && c.From == n.V4("a") {
				t.Fatalf("%s to %s port %d still has the label", c.From, c.To, c.Port)
			}
		}
		if err := ct.Flush(); err != nil { // so that there are new ones again
			t.Fatal(err)
		}
		n.become(allowed)
		for _, s := range streams {
			s.AwaitMore()
		}
	}
	for _, s := range streams {
		s.Abort()
	}
	t.Logf("%d connections were cut", cut)
}
