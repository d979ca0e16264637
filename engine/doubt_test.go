package engine

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/fake"
	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// slow is a search for connections that takes as long as a test wants.
type slow struct {
	Connections
	mu   sync.Mutex
	gate chan struct{} // closed: it goes on
}

func (s *slow) Find(p *plan.Plan, scope plan.Scope) func(context.Context) ([]conntrack.Conn, error) {
	find := s.Connections.Find(p, scope)
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	return func(ctx context.Context) ([]conntrack.Conn, error) {
		select {
		case <-gate:
			return find(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// shut makes the search wait until the function that it returns is called.
func (s *slow) shut() (open func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

// TestCutWaitsForNoSearch: a connection that lost its allowance is stopped by the
// change of the tables, however long it takes to find it among others.
func TestCutWaitsForNoSearch(t *testing.T) {
	ctx := context.Background()
	w := kerneltest.NewWorld(t, network.Routed)
	k := openKernel(t, "one", w.Place("one"))
	k.Close()
	search := &slow{Connections: k.table}
	search.shut()()
	k.Engine = New(Options{Node: "one", Dataplane: k.dataplane, Connections: search})
	t.Cleanup(k.close)
	if err := k.Sync(ctx, town(w), set(onlyFrom(t, "b", 8080, "a", "c"))); err != nil {
		t.Fatal(err)
	}
	dest := netip.AddrPortFrom(w.V4("b"), 8080)
	near := w.Connect(t, k.denied(t), traffic.TCP, "a", "b", dest, 8080)
	far := w.Connect(t, k.denied(t), traffic.TCP, "c", "b", dest, 8080)
	open := search.shut()
	defer open()
	done := make(chan error)
	go func() { done <- k.Sync(ctx, town(w), set(onlyFrom(t, "b", 8080, "a"))) }()
	eventually(t, "the tables are in doubt", func() bool { return doubts(t, w) })
	watched, err := nft.New(nft.Options{NetNS: w.Place("one").FD()})
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	eventually(t, "the policy is in force", func() bool {
		live, err := watched.Live(ctx)
		return err == nil && len(live.Classes) > 0 && !strings.Contains(plan.Text(live), "only-a-c")
	})
	far.Stops()
	near.Passes()
	open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if doubts(t, w) {
		t.Error("the doubt outlives the search")
	}
	near.Passes()
	far.Stops()
}

// doubts tells whether the tables judge packets of every connection.
func doubts(t *testing.T, w *kerneltest.World) bool {
	t.Helper()
	var out []byte
	err := w.Place("one").Do(func() (err error) {
		out, err = exec.Command("nft", "list", "chain", "inet", "bulkhead", "trusted").CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("list chain: %v: %s", err, out)
	}
	return !strings.Contains(string(out), "accept")
}

// doubting is a dataplane in memory that takes down when it is told to doubt.
type doubting struct {
	*fake.Dataplane
	mu   sync.Mutex
	said []string
	fail error
}

func (d *doubting) Doubt(_ context.Context, on bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	word := map[bool]string{true: "doubt", false: "trust"}[on]
	if len(d.said) == 0 || d.said[len(d.said)-1] != word {
		d.said = append(d.said, word)
	}
	err := d.fail
	d.fail = nil
	return err
}

func (d *doubting) Update(ctx context.Context, diff plan.Diff, desired *plan.Plan) error {
	d.mu.Lock()
	d.said = append(d.said, "change")
	d.mu.Unlock()
	return d.Dataplane.Update(ctx, diff, desired)
}

func (d *doubting) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer func() { d.said = nil }()
	return slices.Clone(d.said)
}

// TestDoubtLastsAsLongAsTheLooks: it begins before something is taken away, and
// ends when nothing is left to look at. What only gives needs none.
func TestDoubtLastsAsLongAsTheLooks(t *testing.T) {
	ctx := context.Background()
	d, pods := &doubting{Dataplane: fake.New(nil)}, cluster.NewSnapshot()
	for i, pod := range []string{"a", "b"} {
		name := cluster.Name{Namespace: "x", Name: pod}
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
		pods.Pods[name] = &cluster.Pod{Name: name, Node: "node-0", Addrs: []netip.Addr{addr}, Labels: map[string]string{"app": pod}}
	}
	e := New(Options{Node: "node-0", Dataplane: d, Connections: &looker{}})
	t.Cleanup(e.Close)
	want := func(what string, said ...string) {
		t.Helper()
		if got := d.told(); !slices.Equal(got, said) {
			t.Errorf("%s: %q, want %q", what, got, said)
		}
	}
	sync := func(policies ...*policy.Policy) {
		t.Helper()
		if err := e.Sync(ctx, pods, set(policies...)); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	want("start", "doubt", "trust")
	sync(onlyFrom(t, "b", 8080, "a"))
	want("isolate a pod", "doubt", "change", "trust")
	sync()
	want("isolate it no more", "change")
	d.mu.Lock()
	d.fail = errors.New("no")
	d.mu.Unlock()
	sync(onlyFrom(t, "b", 8080, "a"))
	want("isolate it when doubt fails", "doubt", "trust")
}
