package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// size is a cluster's size. With dense, all policies are in the namespaces of the
// 250 pods of the node.
type size struct {
	pods, policies int
	dense          bool
}

func (s size) String() string {
	name := fmt.Sprintf("pods=%d/policies=%d", s.pods, s.policies)
	if s.dense {
		name += "/dense"
	}
	return name
}

var sizes = []size{
	{1_000, 10, false}, {1_000, 1_000, false}, {1_000, 10_000, false},
	{10_000, 10, false}, {10_000, 1_000, false}, {10_000, 10_000, false},
	{100_000, 10, false}, {100_000, 1_000, false}, {100_000, 10_000, false}, {100_000, 10_000, true},
}

// bench is a world with what a full compilation of it takes, made once in a run.
type bench struct {
	world *gen.World
	full  time.Duration
	mb    float64 // the compiler's memory, without the objects
}

var benches = map[size]*bench{}

func (s size) bench() *bench {
	if made, ok := benches[s]; ok {
		return made
	}
	clear(benches) // one at a time: the large ones are large
	namespaces := 0
	if s.dense {
		namespaces = gen.PerNode
	}
	x := &bench{world: gen.Large(gen.Source(1, 0), s.pods, s.policies, namespaces)}
	before := heap()
	start := time.Now()
	c := x.compiled()
	x.full = time.Since(start)
	x.mb = (heap() - before) / (1 << 20)
	runtime.KeepAlive(c)
	benches[s] = x
	return x
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func (x *bench) compiled() *Compiler {
	c := New(thisNode)
	c.SetAll(x.world.Snapshot, x.world.Set)
	c.Commit()
	return c
}

func BenchmarkFull(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.String(), func(b *testing.B) {
			x := s.bench()
			var c *Compiler
			b.ReportAllocs()
			for b.Loop() {
				c = x.compiled()
			}
			rows := 0
			for _, class := range c.Plan().Classes {
				rows += len(class.Rows)
			}
			b.ReportMetric(x.mb, "MB")
			b.ReportMetric(float64(len(c.Plan().Addrs)), "addresses")
			b.ReportMetric(float64(len(c.Plan().Peers)), "groups")
			b.ReportMetric(float64(len(c.Plan().Classes)), "classes")
			b.ReportMetric(float64(rows), "rows")
		})
	}
}

// swing is a change and the way back; one commit each.
type swing struct{ there, back func(*Compiler) }

// changes are what happens in a cluster all day.
var changes = []struct {
	name  string
	swing func(*gen.World) swing
}{
	{"remote-pod-comes-and-goes", func(w *gen.World) swing {
		p := *podOn(w, "node-1")
		p.Name.Name, p.Addrs = "new", []netip.Addr{netip.MustParseAddr("10.200.0.1")}
		return comes(&p)
	}},
	{"remote-pod-relabelled", func(w *gen.World) swing {
		old := podIn(w, guarded)
		other := map[string]string{"app-1": "app-2"}[old.Labels["app"]]
		return relabelled(old, "app", max(other, "app-1"))
	}},
	{"remote-pod-new-group", func(w *gen.World) swing {
		old := podIn(w, guarded)
		p := *old
		p.Labels = map[string]string{"role": "backend"}
		return swing{func(c *Compiler) { c.SetPod(&p) }, func(c *Compiler) { c.SetPod(old) }}
	}},
	{"local-pod-comes-and-goes", func(w *gen.World) swing {
		p := *podOn(w, thisNode)
		p.Name.Name, p.Addrs = "new", []netip.Addr{netip.MustParseAddr("10.0.0.251")}
		return comes(&p)
	}},
	{"policy-port-changed", func(w *gen.World) swing {
		return edited(w, func(p *policy.Policy) { p.Ingress = rulesFor(8081, p.Ingress.Rules[0].Peers[0]) })
	}},
	{"policy-new-selector", func(w *gen.World) swing {
		return edited(w, func(p *policy.Policy) { p.Ingress = rulesFor(8080, picking("app.kubernetes.io/part-of", "ns-5")) })
	}},
	{"policy-new-selector-third-of-cluster", func(w *gen.World) swing {
		return edited(w, func(p *policy.Policy) { p.Ingress = rulesFor(8080, picking("version", "v2")) })
	}},
	{"policy-new-block", func(w *gen.World) swing {
		return edited(w, func(p *policy.Policy) {
			p.Ingress = rulesFor(8080, policy.Peer{CIDR: &policy.CIDR{Prefix: netip.MustParsePrefix("10.0.3.0/26")}})
		})
	}},
	{"namespace-relabelled", func(w *gen.World) swing {
		old := w.Snapshot.Namespaces[podOn(w, thisNode).Namespace]
		ns := &cluster.Namespace{Name: old.Name, Labels: maps.Clone(old.Labels)}
		ns.Labels["env"], ns.Labels["team"] = "test", "team-31"
		return swing{func(c *Compiler) { c.SetNamespace(ns) }, func(c *Compiler) { c.SetNamespace(old) }}
	}},
}

// BenchmarkChange measures commits of one change. The elements are those that the
// node's tables change by; x-full is how many times as long a full compilation
// took in the same run.
func BenchmarkChange(b *testing.B) {
	for _, s := range sizes {
		for _, change := range changes {
			b.Run(s.String()+"/"+change.name, func(b *testing.B) {
				x := s.bench()
				c := x.compiled()
				swing := change.swing(x.world)
				elements, n := 0, 0
				b.ReportAllocs()
				for b.Loop() {
					if n++; n%2 == 1 {
						swing.there(c)
					} else {
						swing.back(c)
					}
					d := c.Commit()
					elements += d.Len()
				}
				b.ReportMetric(float64(elements)/float64(n), "elements/op")
				b.ReportMetric(float64(x.full)/(float64(b.Elapsed())/float64(n)), "x-full")
			})
		}
	}
}

// BenchmarkEdit edits one of many policies on the same pods.
func BenchmarkEdit(b *testing.B) {
	for _, n := range []int{10, 100, 1_000} {
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			c := New(thisNode)
			c.SetAll(crowded(n))
			c.Commit()
			b.ReportAllocs()
			elements := 0
			for i := 0; b.Loop(); i++ {
				c.SetPolicy(oneOf(i%n, uint16(9000+i/n%2)))
				elements += c.Commit().Len()
			}
			b.ReportMetric(float64(elements)/float64(b.N), "elements/op")
		})
	}
}

// crowded is one namespace with a pod of this node, and with n policies on it,
// each with a peer of its own.
func crowded(n int) (*cluster.Snapshot, *policy.Set) {
	snapshot, set := cluster.NewSnapshot(), policy.NewSet()
	snapshot.Namespaces["x"] = &cluster.Namespace{Name: "x"}
	addr := netip.MustParseAddr("10.0.0.1")
	for i := range n + 1 {
		p := &cluster.Pod{
			Name: cluster.Name{Namespace: "x", Name: fmt.Sprint("pod-", i)}, Node: "other",
			Labels: map[string]string{"pod": fmt.Sprint(i)}, Addrs: []netip.Addr{addr},
		}
		if i == n {
			p.Node = thisNode
		}
		snapshot.Pods[p.Name] = p
		addr = addr.Next()
	}
	for i := range n {
		p := oneOf(i, 8000)
		set.Policies[p.Ref] = p
	}
	return snapshot, set
}

func oneOf(i int, port uint16) *policy.Policy {
	return &policy.Policy{
		Ref:  policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "x", Name: fmt.Sprint("policy-", i)},
		Tier: policy.NetworkPolicyTier.Name, Order: policy.NetworkPolicyOrder,
		Subject: policy.PodSelector{Namespace: "x", Pods: labels.Everything()},
		Ingress: rulesFor(port, picking("pod", fmt.Sprint(i))),
	}
}

// podOn is the first pod of a node, by name.
func podOn(w *gen.World, node string) *cluster.Pod {
	var found *cluster.Pod
	for _, p := range w.Snapshot.Pods {
		if p.Node == node && (found == nil || p.Name.String() < found.Name.String()) {
			found = p
		}
	}
	return found
}

// guarded is a namespace that the node runs a pod of and policies are in.
const guarded = "ns-0"

// podIn is the first pod of a namespace that runs elsewhere, by name.
func podIn(w *gen.World, namespace string) *cluster.Pod {
	var found *cluster.Pod
	for _, p := range w.Snapshot.Pods {
		if p.Namespace == namespace && p.Node != thisNode && (found == nil || p.Name.String() < found.Name.String()) {
			found = p
		}
	}
	return found
}

func comes(p *cluster.Pod) swing {
	return swing{func(c *Compiler) { c.SetPod(p) }, func(c *Compiler) { c.DeletePod(p.Name) }}
}

func relabelled(old *cluster.Pod, key, value string) swing {
	p := *old
	p.Labels = maps.Clone(old.Labels)
	p.Labels[key] = value
	return swing{func(c *Compiler) { c.SetPod(&p) }, func(c *Compiler) { c.SetPod(old) }}
}

// edited changes the first policy that allows pods of its own namespace in; it
// selects all pods of a namespace that the node runs pods of.
func edited(w *gen.World, edit func(*policy.Policy)) swing {
	old := w.Set.Policies[policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: guarded, Name: "policy-1"}]
	p := *old
	edit(&p)
	return swing{func(c *Compiler) { c.SetPolicy(&p) }, func(c *Compiler) { c.SetPolicy(old) }}
}

func rulesFor(port uint16, peer policy.Peer) *policy.Rules {
	return &policy.Rules{Isolates: true, Rules: []policy.Rule{{
		Action: policy.Allow, Peers: []policy.Peer{peer}, Ports: []policy.Port{{Protocol: 6, From: port, To: port}},
	}}}
}

func picking(key, value string) policy.Peer {
	return policy.Peer{Pods: &policy.PodSelector{Pods: labels.SelectorFromValidatedSet(labels.Set{key: value})}}
}

// BenchmarkJudge measures what one live connection of the node's pods costs after
// a change that concerns it.
func BenchmarkJudge(b *testing.B) {
	for _, s := range sizes {
		b.Run(s.String(), func(b *testing.B) {
			x := s.bench()
			packets := x.packets(10_000)
			index := plan.NewIndex(x.compiled().Plan())
			for _, p := range packets {
				index.Trace(p) // it prepares each class on first use
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				index.Trace(packets[i%len(packets)])
			}
		})
	}
}

// packets begin connections from or to pods of the node.
func (x *bench) packets(n int) []plan.Packet {
	r := gen.Source(1, 0)
	var here []netip.Addr
	for _, p := range x.world.Snapshot.Pods {
		if p.Node == thisNode {
			here = append(here, p.Addrs...)
		}
	}
	var packets []plan.Packet
	for i, c := range gen.Connections(r, x.world.Endpoints(), n) {
		packet := plan.Packet{From: c.From.Addr, To: here[r.IntN(len(here))], Protocol: c.Protocol, Port: c.Port}
		if i%2 == 0 {
			packet.From, packet.To = packet.To, packet.From
		}
		packets = append(packets, packet)
	}
	return packets
}
