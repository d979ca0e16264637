package engine

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// kernel is an engine with the real things below it.
type kernel struct {
	*Engine
	dataplane *nft.Dataplane
	table     *conntrack.Table
}

func openKernel(t *testing.T, node string, s *space.Space) *kernel {
	t.Helper()
	d, err := nft.New(nft.Options{NetNS: s.FD()})
	if err != nil {
		t.Fatal(err)
	}
	table, err := conntrack.Open(s.FD())
	if err != nil {
		t.Fatal(err)
	}
	return &kernel{New(Options{Node: node, Dataplane: d, Connections: table}), d, table}
}

func (k *kernel) close() {
	k.Close()
	k.table.Close()
	k.dataplane.Close()
}

func newKernel(t *testing.T, node string, s *space.Space) *kernel {
	t.Helper()
	k := openKernel(t, node, s)
	t.Cleanup(k.close)
	return k
}

// TestKernelEndsAlike: the same changes, in one step, one by one, reversed, and
// with a new start in the middle, end in the same tables.
func TestKernelEndsAlike(t *testing.T) {
	r := newRand(t)
	base := gen.New(r, gen.Small)
	end := base.Clone()
	for _, change := range gen.Changes(r, gen.Small, base, 30) {
		change(end)
	}
	want := compiled(end)
	ctx := context.Background()
	sync := func(t *testing.T, k *kernel, w *gen.World) {
		t.Helper()
		if err := k.Sync(ctx, w.Snapshot, w.Set); err != nil {
			t.Fatal(err)
		}
	}
	for name, run := range map[string]func(t *testing.T, s *space.Space) *kernel{
		"in one step": func(t *testing.T, s *space.Space) *kernel {
			k := openKernel(t, "node-0", s)
			sync(t, k, end)
			return k
		},
		"one by one": func(t *testing.T, s *space.Space) *kernel {
			k := openKernel(t, "node-0", s)
			sync(t, k, base)
			for _, change := range gen.Between(base, end) {
				change(k)
				await(t, k.Engine)
			}
			return k
		},
		"there and back": func(t *testing.T, s *space.Space) *kernel {
			k := openKernel(t, "node-0", s)
			for _, w := range []*gen.World{end, base, end} {
				sync(t, k, w)
			}
			return k
		},
		"with a new start": func(t *testing.T, s *space.Space) *kernel {
			k := openKernel(t, "node-0", s)
			sync(t, k, base)
			k.close()
			k = openKernel(t, "node-0", s)
			sync(t, k, end)
			return k
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := space.New()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			k := run(t, s)
			defer k.close()
			got, err := k.dataplane.Live(ctx)
			if err != nil {
				t.Fatal(err)
			}
			wantPlan(t, got, nft.Shown(want))
		})
	}
}

// town is the world of kerneltest as a cluster: the pods a, b and c are labelled
// app=a, app=b and app=c.
func town(w *kerneltest.World) *cluster.Snapshot {
	s := cluster.NewSnapshot()
	for pod, node := range map[string]string{"a": "one", "b": "one", "c": "two"} {
		name := cluster.Name{Namespace: "x", Name: pod}
		s.Pods[name] = &cluster.Pod{Name: name, Node: node, Addrs: w.Both(pod), Labels: map[string]string{"app": pod}}
	}
	for _, node := range []string{"one", "two"} {
		s.Nodes[node] = &cluster.Node{Name: node, Addrs: w.Both(node)}
	}
	return s
}

// onlyFrom is a policy that lets a pod be reached by others on a port, and by
// nobody else.
func onlyFrom(t *testing.T, pod string, port uint16, others ...string) *policy.Policy {
	t.Helper()
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "x", Name: "only-" + strings.Join(others, "-")},
		Tier:    policy.NetworkPolicyTier.Name,
		Order:   policy.NetworkPolicyOrder,
		Subject: app(t, pod),
		Ingress: &policy.Rules{Isolates: true},
	}
	rule := policy.Rule{Action: policy.Allow, Ports: []policy.Port{{Protocol: traffic.TCP, From: port, To: port}}}
	for _, other := range others {
		selector := app(t, other)
		rule.Peers = append(rule.Peers, policy.Peer{Pods: &selector})
	}
	p.Ingress.Rules = append(p.Ingress.Rules, rule)
	return p
}

func app(t *testing.T, name string) policy.PodSelector {
	t.Helper()
	selector, err := labels.Parse("app=" + name)
	if err != nil {
		t.Fatal(err)
	}
	return policy.PodSelector{Namespace: "x", Pods: selector}
}

func set(policies ...*policy.Policy) *policy.Set {
	s := policy.NewSet()
	for _, p := range policies {
		s.Add(p)
	}
	return s
}

func (k *kernel) denied(t *testing.T) func() uint64 {
	return func() uint64 {
		all, err := k.dataplane.Denied(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var sum uint64
		for _, d := range all {
			sum += d.Packets
		}
		return sum
	}
}

// TestPolicyEndsConnections from the policy to the packet: a connection that a
// new policy denies is ended, another goes on, and both live again without it.
func TestPolicyEndsConnections(t *testing.T) {
	for _, mode := range []network.Mode{network.Routed, network.Bridged} {
		t.Run(mode.String(), func(t *testing.T) {
			ctx := context.Background()
			w := kerneltest.NewWorld(t, mode)
			k := newKernel(t, "one", w.Place("one"))
			sync := func(policies ...*policy.Policy) {
				t.Helper()
				if err := k.Sync(ctx, town(w), set(policies...)); err != nil {
					t.Fatal(err)
				}
			}
			sync()
			for family := range 2 {
				dest := netip.AddrPortFrom(w.Both("b")[family], 8080)
				near := w.Connect(t, k.denied(t), traffic.TCP, "a", "b", dest, 8080)
				far := w.Connect(t, k.denied(t), traffic.TCP, "c", "b", dest, 8080)
				sync(onlyFrom(t, "b", 8080, "a", "c"))
				near.Passes()
				far.Passes()
				sync(onlyFrom(t, "b", 8080, "a"))
				near.Passes()
				far.Stops()
				near.Passes()
				sync()
				near.Passes()
				far.Passes()
			}
		})
	}
}

// TestFlushIsUndone: somebody flushes all tables; the engine puts ours back
// without being asked.
func TestFlushIsUndone(t *testing.T) {
	ctx := context.Background()
	w := kerneltest.NewWorld(t, network.Routed)
	k := newKernel(t, "one", w.Place("one"))
	if err := k.Sync(ctx, town(w), set(onlyFrom(t, "b", 8080, "a"))); err != nil {
		t.Fatal(err)
	}
	watched, err := nft.New(nft.Options{NetNS: w.Place("one").FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	var want *plan.Plan
	if want, err = watched.Live(ctx); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		err := w.Place("one").Do(func() error { return exec.Command("nft", "flush", "ruleset").Run() })
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the table is back", func() bool {
			got, err := watched.Live(ctx)
			return err == nil && plan.Compare(got, want).Empty()
		})
	}
}
