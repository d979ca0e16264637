package conntrack

import (
	"context"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// hosted is a plan in which node one takes in, sends and passes on nothing by its
// uplink but on some TCP ports, and its pods may do everything but reach it.
func hosted(w *kerneltest.World, ports ...uint16) *plan.Plan {
	p := plan.New(kerneltest.NodeOne)
	rows := map[plan.Row]traffic.Verdict{}
	for _, port := range ports {
		rows[plan.Row{AnyPeer: true, Protocol: traffic.TCP, From: port, To: port}] = traffic.Allow
	}
	p.Classes[1] = &plan.Class{Direction: traffic.Ingress, Policies: []string{"in"}, Rows: rows}
	p.Classes[2] = &plan.Class{Direction: traffic.Egress, Policies: []string{"out"}, Rows: rows}
	p.Hosts[plan.Door{Device: "eth0"}] = plan.Host{Input: 1, Output: 2, Enter: 1, Leave: 2}
	p.Hosts[plan.Door{Device: plan.AllDevices}] = plan.Host{Input: 1, Output: 2}
	p.Keep[netip.AddrPortFrom(w.V4(kerneltest.Outside), 6443)] = struct{}{}
	p.Keep[netip.AddrPortFrom(w.V6(kerneltest.Outside), 6443)] = struct{}{}
	for _, pod := range []string{"a", "b"} {
		for _, addr := range w.Both(pod) {
			prefix, err := addr.Prefix(addr.BitLen())
			if err != nil {
				panic(err) // the bits are the address's
			}
			p.Own[prefix] = struct{}{}
		}
	}
	return p
}

// TestCutAtDoors: connections of the node, and those that it passes on, end when
// policies on hosts take their allowance away, whether they began under policies
// or before. Others go on, those that never had a label among them.
func TestCutAtDoors(t *testing.T) {
	for name, begin := range map[string]func(*node) *plan.Plan{
		"under policies":  func(n *node) *plan.Plan { return hosted(n.World, 8080, 8081, 22) },
		"before policies": func(*node) *plan.Plan { return plan.New(kerneltest.NodeOne) },
	} {
		t.Run(name, func(t *testing.T) {
			for family := range 2 {
				eachMode(t, func(t *testing.T, n *node) {
					n.become(begin(n))
					// Each pair of ends has a connection that goes on and one that ends.
					pairs := [][2]string{
						{"outside", "one"}, {"one", "outside"}, {"a", "one"}, {"outside", "a"}, {"a", "outside"}, {"two", "one"}, {"c", "b"},
					}
					var live, victims []*kerneltest.Talk
					for _, pair := range pairs {
						live = append(live, n.talk(traffic.TCP, pair[0], pair[1], family, 22))
						victims = append(victims, n.talk(traffic.TCP, pair[0], pair[1], family, 8080))
					}
					live = append(live, n.talk(traffic.TCP, "one", "a", family, 8081), n.talk(traffic.TCP, "a", "b", family, 8080), n.talk(traffic.TCP, "one", "outside", family, 6443))
					if name == "before policies" {
						n.forgetLabels()
					}
					n.become(hosted(n.World, 22))
					for _, talk := range live {
						talk.Passes()
					}
					for _, talk := range victims {
						talk.StopsToServer()
						talk.StopsToClient()
					}
					for _, talk := range live {
						talk.Passes()
					}
				})
			}
		})
	}
}

// forgetLabels makes connections look as if they were from before the tables.
func (n *node) forgetLabels() {
	n.t.Helper()
	conns, err := n.table.List(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.table.cut(context.Background(), conns); err != nil {
		n.t.Fatal(err)
	}
}

// TestAPodThatComesConcernsItsAddress, and no other connection of a node with
// policies on hosts.
func TestAPodThatComesConcernsItsAddress(t *testing.T) {
	n := newNode(t, 0)
	before, after := hosted(n.World, 22), hosted(n.World, 22)
	for prefix := range before.Own {
		if prefix.Addr() == n.V4("b") {
			delete(before.Own, prefix)
		}
	}
	n.become(before)
	n.talk(traffic.TCP, "one", "outside", 0, 22)
	index := plan.NewIndex(after)
	scope := index.Scope(plan.Compare(before, after))
	if scope.All || !scope.Contains(after, n.V4("one"), n.V4("b")) || scope.Contains(after, n.V4("one"), n.V4("outside")) {
		t.Errorf("scope %+v", scope)
	}
}
