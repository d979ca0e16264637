package compile

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

var onHosts = gen.Shape{Nodes: 2, Namespaces: 3, Pods: 14, Policies: 10, General: true, Hosts: true}

// isOn tells whether an end of a connection is on a node: the node itself, a pod
// of it, or an address of its pod network that nobody is known to have.
func isOn(w *gen.World, node string, e verdict.Endpoint) bool {
	if e.Pod != nil || e.Node != "" {
		pod := e.NetworkPod()
		return e.Host() == node || pod != nil && pod.Node == node
	}
	for _, p := range w.Snapshot.Nodes[node].PodCIDRs {
		if p.Contains(e.Addr) {
			return true
		}
	}
	return false
}

// traceDoors sends a connection past the tables of the nodes that it passes.
func traceDoors(w *gen.World, plans map[string]*plan.Plan, c verdict.Connection) traffic.Verdict {
	for node, p := range plans {
		from, to := isOn(w, node, c.From), isOn(w, node, c.To)
		if !from && !to {
			continue
		}
		packet := plan.Packet{
			From: c.From.Addr, To: c.To.Addr, Protocol: c.Protocol, Port: c.Port, Asked: c.Asked,
			FromNode: c.From.Host() == node, ToNode: c.To.Host() == node,
		}
		if !from {
			packet.In = gen.HostDevice
		}
		if !to {
			packet.Out = gen.HostDevice
		}
		got := p.Trace(packet)
		if indexed := plan.NewIndex(p).Trace(packet); indexed != got {
			panic("the index disagrees with the plan")
		}
		if got == traffic.Deny {
			return traffic.Deny
		}
	}
	return traffic.Allow
}

// disagreesOnHosts is a connection that plans and evaluator judge differently.
func disagreesOnHosts(w *gen.World, connections []verdict.Connection, s *seen) *verdict.Connection {
	plans := plansOf(w)
	e := verdict.New(w.Snapshot, w.Set)
	for _, c := range connections {
		got, want := traceDoors(w, plans, c), e.Verdict(c)
		s.connections++
		s.allowed += int(want)
		if got != want {
			return &c
		}
	}
	return nil
}

func TestPlansOfHostsAgreeWithTheEvaluator(t *testing.T) {
	var s seen
	for i := range *count {
		r := gen.Source(*seed, i)
		w := gen.New(r, onHosts)
		connections := gen.HostConnections(r, w, perWorld)
		c := disagreesOnHosts(w, connections, &s)
		if c == nil {
			continue
		}
		w = gen.Shrink(w, func(w *gen.World) bool {
			moved, ok := again(w, *c)
			return ok && nodesOf(w, moved) && disagreesOnHosts(w, []verdict.Connection{moved}, &seen{}) != nil
		})
		moved, _ := again(w, *c)
		plans := plansOf(w)
		result := verdict.Evaluate(w.Snapshot, w.Set, moved)
		t.Fatalf("-seed %d, world %d: %s (asked %s): the plans say %s, the evaluator %+v, in\n%s\n%s", *seed, i, moved, moved.Asked,
			traceDoors(w, plans, moved), result, w, plansText(plans))
	}
	t.Logf("%+v", s)
	if share := float64(s.allowed) / float64(s.connections); share < 0.1 || share > 0.9 {
		t.Errorf("the worlds do not try much: %+v", s)
	}
}

func plansText(plans map[string]*plan.Plan) string {
	var b strings.Builder
	for _, p := range plans {
		b.WriteString(plan.Text(p))
	}
	return b.String()
}

// nodesOf tells whether the nodes at both ends are still there.
func nodesOf(w *gen.World, c verdict.Connection) bool {
	return !slices.ContainsFunc([]verdict.Endpoint{c.From, c.To}, func(e verdict.Endpoint) bool {
		host := e.Host()
		if pod := e.NetworkPod(); pod != nil {
			host = pod.Node
		}
		return host != "" && w.Snapshot.Nodes[host] == nil
	})
}

// The same changes, one by one, end in the plan that a new compiler makes.
func TestDoorsFollowChanges(t *testing.T) {
	for i := range max(*count/30, 3) {
		r := gen.Source(*seed, i)
		w := gen.New(r, onHosts)
		c := crowd(New(thisNode))
		c.SetAll(w.Snapshot, w.Set)
		c.Commit()
		for _, change := range gen.Changes(r, onHosts, w, 40) {
			before := mustClone(t, c.Plan())
			change(c)
			change(w)
			diff := c.Commit()
			check(t, c, w, crowd)
			diff.Apply(before)
			if d := plan.Compare(before, c.Plan()); !d.Empty() {
				t.Fatalf("-seed %d, world %d: the diff lacks\n%s", *seed, i, d.Text())
			}
		}
	}
}

// What must be reached, and whose pods are the node's, is in the plan only where
// policies on hosts are.
func TestKeepIsThereWithDoors(t *testing.T) {
	c := New(thisNode)
	c.Keep([]netip.AddrPort{netip.MustParseAddrPort("10.96.0.1:443")})
	c.SetPod(podOf("web", "web", "10.0.1.1"))
	c.Commit()
	if p := c.Plan(); len(p.Keep)+len(p.Own)+len(p.Hosts) > 0 {
		t.Errorf("without hosts there are\n%s", plan.Text(p))
	}
	c.SetHost(&policy.Host{Ref: policy.Ref{Name: "all"}, Node: thisNode, Device: policy.AllDevices})
	c.Commit()
	if p := c.Plan(); len(p.Keep) != 1 || len(p.Own) != 1 || len(p.Hosts) != 1 {
		t.Errorf("with a host there are\n%s", plan.Text(p))
	}
	c.DeleteHost(policy.Ref{Name: "all"})
	c.Commit()
	if p := c.Plan(); plan.Text(p) != "plan "+thisNode+"\n" {
		t.Errorf("after the host there are\n%s", plan.Text(p))
	}
}
