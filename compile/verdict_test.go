package compile

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

var (
	seed  = flag.Uint64("seed", 0, "where random worlds start; 0 chooses one")
	count = flag.Int("worlds", 300, "how many random worlds of each shape are judged")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	fmt.Printf("random worlds start at -seed %d\n", *seed)
	os.Exit(m.Run())
}

// perWorld is how many connections are judged in each world.
const perWorld = 200

// plansOf are the plans of all nodes.
func plansOf(w *gen.World) map[string]*plan.Plan {
	plans := map[string]*plan.Plan{}
	for name := range w.Snapshot.Nodes {
		plans[name] = Full(name, w.Snapshot, w.Set)
	}
	return plans
}

// trace sends a connection past every node's tables. Those of nodes that have
// neither end must let it pass.
func trace(plans map[string]*plan.Plan, c verdict.Connection) traffic.Verdict {
	packet := plan.Packet{From: c.From.Addr, To: c.To.Addr, Protocol: c.Protocol, Port: c.Port}
	both := traffic.Allow
	for node, p := range plans {
		packet.FromNode = c.From.Host() == node
		both = both.And(p.Trace(packet))
	}
	return both
}

// disagreement is a connection on which plans and evaluator do not agree.
type disagreement struct {
	world      *gen.World
	connection verdict.Connection
	plans      traffic.Verdict // what they say
	evaluator  traffic.Verdict // and what it says
}

func (d *disagreement) String() string {
	return fmt.Sprintf("%s: the plans say %s, the evaluator says %s, in\n%s", d.connection, d.plans, d.evaluator, d.world)
}

// seen counts what the connections of a run met, to show that they met it.
type seen struct{ connections, allowed, byRange, byWider int }

// compare judges connections of a world both ways. The plans are made of what
// warp makes of the world: the same world, unless the test is tested.
func compare(w *gen.World, connections []verdict.Connection, warp func(*gen.World) *gen.World, s *seen) *disagreement {
	plans := plansOf(warp(w))
	e := verdict.New(w.Snapshot, w.Set)
	for _, p := range plans {
		s.byRange += min(len(p.Ranges), 1)
		s.byWider += min(len(p.Wider), 1)
	}
	for _, c := range connections {
		got, want := trace(plans, c), e.Verdict(c)
		s.connections++
		if want.Opens() {
			s.allowed++
		}
		if got != want {
			return &disagreement{w, c, got, want}
		}
	}
	return nil
}

func asItIs(w *gen.World) *gen.World { return w }

// shrunk is the disagreement in the smallest world that still has it.
func shrunk(d *disagreement, warp func(*gen.World) *gen.World) *disagreement {
	gen.Shrink(d.world, func(w *gen.World) bool {
		c, ok := again(w, d.connection)
		if !ok {
			return false
		}
		found := compare(w, []verdict.Connection{c}, warp, &seen{})
		if found != nil {
			d = found
		}
		return found != nil
	})
	return d
}

// again is the connection between the pods as they are in a world.
func again(w *gen.World, c verdict.Connection) (verdict.Connection, bool) {
	for _, e := range []*verdict.Endpoint{&c.From, &c.To} {
		if e.Pod == nil {
			continue
		}
		p, ok := w.Snapshot.Pods[e.Pod.Name]
		if !ok || !slices.Contains(p.Addrs, e.Addr) {
			return c, false
		}
		e.Pod = p
	}
	return c, true
}

func general(s gen.Shape) gen.Shape { s.General = true; return s }

func mixed(s gen.Shape) gen.Shape { s.Mixed, s.Content = true, true; return s }

func content(s gen.Shape) gen.Shape { s.General, s.Content = true, true; return s }

var shapes = []struct {
	name string
	gen.Shape
}{{"NetworkPolicy", gen.Small}, {"general", general(gen.Small)}, {"content", content(gen.Small)}, {"mixed", mixed(gen.Small)}}

func TestPlansAgreeWithTheEvaluator(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			var s seen
			for i := range *count {
				r := gen.Source(*seed, i)
				w := gen.New(r, shape.Shape)
				if d := compare(w, gen.Connections(r, w.Endpoints(), perWorld), asItIs, &s); d != nil {
					t.Fatalf("-seed %d, world %d: %s", *seed, i, shrunk(d, asItIs))
				}
			}
			t.Logf("%+v", s)
			if share := float64(s.allowed) / float64(s.connections); share < 0.2 || share > 0.8 || s.byRange == 0 || s.byWider == 0 {
				t.Errorf("the worlds do not try much: %+v", s)
			}
		})
	}
}

// mistakes are compilers' mistakes, made by compiling another world than the one
// that is evaluated.
var mistakes = map[string]func(p *policy.Policy) *policy.Policy{
	"exceptions of blocks forgotten": eachRule(func(r *policy.Rule) {
		for i, p := range r.Peers {
			if p.CIDR != nil {
				r.Peers[i].CIDR = &policy.CIDR{Prefix: p.CIDR.Prefix}
			}
		}
	}),
	"ranges cut by one port": eachRule(func(r *policy.Rule) {
		for i, p := range r.Ports {
			if p.To > p.From {
				r.Ports[i].To--
			}
		}
	}),
	"names of ports that stand for nothing": eachRule(func(r *policy.Rule) {
		r.Ports = slices.DeleteFunc(r.Ports, func(p policy.Port) bool { return p.Name != "" })
	}),
	"the namespace's selector forgotten": eachRule(func(r *policy.Rule) {
		for i, p := range r.Peers {
			if p.Pods != nil && p.Pods.Namespaces != nil {
				r.Peers[i].Pods = &policy.PodSelector{Pods: p.Pods.Pods}
			}
		}
	}),
	"isolation forgotten": func(p *policy.Policy) *policy.Policy {
		if p.Ingress != nil {
			p.Ingress = &policy.Rules{Rules: p.Ingress.Rules}
		}
		return p
	},
	"the last rule forgotten": func(p *policy.Policy) *policy.Policy {
		if p.Egress != nil && len(p.Egress.Rules) > 0 {
			p.Egress = &policy.Rules{Isolates: p.Egress.Isolates, Rules: p.Egress.Rules[:len(p.Egress.Rules)-1]}
		}
		return p
	},
	"log that allows": eachRule(func(r *policy.Rule) {
		if r.Action == policy.Log {
			r.Action = policy.Allow
		}
	}),
	"pass that denies": eachRule(func(r *policy.Rule) {
		if r.Action == policy.Pass {
			r.Action = policy.Deny
		}
	}),
	"what a peer must not be forgotten": eachPeer(func(p *policy.Peer) {
		if p.Not = nil; len(p.And) == 0 && p.Pods == nil && p.CIDR == nil && p.Nodes == nil && p.Networks == nil && p.Services == nil {
			p.CIDR = &policy.CIDR{Prefix: netip.MustParsePrefix("0.0.0.0/0")}
		}
	}),
	"what a peer must be besides forgotten": eachPeer(func(p *policy.Peer) { p.And = nil }),
	"labels of nodes forgotten": eachPeer(func(p *policy.Peer) {
		if p.Nodes != nil {
			p.Nodes = &policy.NodeSelector{Which: p.Nodes.Which}
		}
	}),
	"own and other nodes taken for all": eachPeer(func(p *policy.Peer) {
		if p.Nodes != nil {
			p.Nodes = &policy.NodeSelector{Nodes: p.Nodes.Nodes}
		}
	}),
	"labels of networks forgotten": eachPeer(func(p *policy.Peer) {
		if p.Networks != nil {
			p.Networks = &policy.NetworkSelector{Dialect: p.Networks.Dialect, Name: p.Networks.Name}
		}
	}),
	"services forgotten": eachPeer(func(p *policy.Peer) {
		if p.Services != nil {
			p.Services = &policy.ServiceSelector{Ports: p.Services.Ports}
		}
	}),
	"ports of services forgotten": eachPeer(func(p *policy.Peer) {
		if p.Services != nil {
			s := *p.Services
			s.Ports = false
			p.Services = &s
		}
	}),
	"ports that a rule leaves out forgotten": eachRule(func(r *policy.Rule) { r.NotPorts = nil }),
	"what the pod itself must be forgotten":  eachRule(func(r *policy.Rule) { r.Self = nil }),
	"codes of ICMP forgotten": eachRule(func(r *policy.Rule) {
		for i, p := range r.Ports {
			if p.Typed {
				r.Ports[i].From, r.Ports[i].To = p.From&0xff00, p.To|0xff
			}
		}
	}),
	"Cilium's policies in order": func(p *policy.Policy) *policy.Policy {
		if p.Dialect == policy.Cilium {
			p.Dialect = policy.Calico
		}
		return p
	},
	"content that nobody looks at": eachRule(func(r *policy.Rule) { r.HTTP, r.DNS = nil, nil }),
	"names that anybody may have": eachPeer(func(p *policy.Peer) {
		if p.Names != nil {
			*p = policy.Peer{CIDR: &policy.CIDR{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}
		}
	}),
	"order that does not count": func(p *policy.Policy) *policy.Policy {
		p.Order = 7
		return p
	},
}

// eachPeer changes copies of a policy's peers.
func eachPeer(change func(*policy.Peer)) func(*policy.Policy) *policy.Policy {
	return eachRule(func(r *policy.Rule) {
		for i := range r.Peers {
			change(&r.Peers[i])
		}
	})
}

// eachRule changes copies of a policy's rules.
func eachRule(change func(*policy.Rule)) func(*policy.Policy) *policy.Policy {
	in := func(rules *policy.Rules) *policy.Rules {
		if rules == nil {
			return nil
		}
		changed := &policy.Rules{Isolates: rules.Isolates, Rules: slices.Clone(rules.Rules)}
		for i := range changed.Rules {
			changed.Rules[i].Peers = slices.Clone(changed.Rules[i].Peers)
			changed.Rules[i].Ports = slices.Clone(changed.Rules[i].Ports)
			change(&changed.Rules[i])
		}
		return changed
	}
	return func(p *policy.Policy) *policy.Policy {
		p.Ingress, p.Egress = in(p.Ingress), in(p.Egress)
		return p
	}
}

func TestTheComparisonFindsMistakes(t *testing.T) {
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			warp := func(w *gen.World) *gen.World {
				warped := w.Clone()
				for ref, p := range w.Set.Policies {
					q := *p
					warped.Set.Policies[ref] = mistake(&q)
				}
				return warped
			}
			for i := range *count {
				r := gen.Source(*seed, i)
				w := gen.New(r, shapes[1+i%3].Shape)
				d := compare(w, gen.Connections(r, w.Endpoints(), perWorld), warp, &seen{})
				if d == nil {
					continue
				}
				small := shrunk(d, warp)
				t.Logf("world %d: %s", i, small)
				if n := len(small.world.Set.Policies); n == 0 || n > 3 {
					t.Errorf("%d policies are left in the smallest world", n)
				}
				return
			}
			t.Error("nobody noticed")
		})
	}
}

// claimants are all whom an address can mean.
func claimants(w *gen.World, addr netip.Addr) []verdict.Endpoint {
	var all []verdict.Endpoint
	for _, p := range w.Snapshot.Pods {
		if !p.HostNetwork && slices.Contains(p.Addrs, addr) {
			all = append(all, verdict.Endpoint{Addr: addr, Pod: p})
		}
	}
	for _, n := range w.Snapshot.Nodes {
		if slices.Contains(n.Addrs, addr) {
			return append(all, verdict.Endpoint{Addr: addr})
		}
	}
	if len(all) == 0 {
		all = append(all, verdict.Endpoint{Addr: addr})
	}
	return all
}

func TestADisputedAddressIsAllowedWhatEveryClaimantIs(t *testing.T) {
	disputed, denied := 0, 0
	for i := range *count {
		r := gen.Source(*seed, i)
		w := gen.New(r, gen.Shape{Nodes: 3, Namespaces: 3, Pods: 16, Policies: 8, General: i%2 == 0, Disputed: true})
		plans := plansOf(w)
		e := verdict.New(w.Snapshot, w.Set)
		for _, c := range gen.Connections(r, w.Endpoints(), perWorld) {
			if c.From.Addr == c.To.Addr {
				continue
			}
			froms, tos := claimants(w, c.From.Addr), claimants(w, c.To.Addr)
			want, some := traffic.Allow, false
			for _, c.From = range froms {
				for _, c.To = range tos {
					v := e.Verdict(c)
					want, some = min(want, v), some || v == traffic.Allow
				}
			}
			c.From = verdict.Endpoint{Addr: c.From.Addr} // sent by nobody's node
			if got := trace(plans, c); got != want {
				t.Fatalf("-seed %d, world %d: %s: the plans say %s with claimants %v and %v in\n%s", *seed, i, c, got, froms, tos, w)
			}
			if len(froms) > 1 || len(tos) > 1 {
				disputed++
			}
			if some && want == traffic.Deny {
				denied++
			}
		}
	}
	if disputed < 1000 || denied < 100 {
		t.Errorf("%d connections with disputed addresses, %d of them denied to one claimant only", disputed, denied)
	}
}
