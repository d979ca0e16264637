package kube

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
)

// Feed follows resources. Make its tables first, then Run it.
type Feed struct {
	client      *Client
	log         *slog.Logger
	news        chan struct{}
	followers   []*follower
	states      []func() State
	definitions *definitions // nil: nobody asks for any

	mu    sync.Mutex
	since time.Time // of the first change that is not taken; zero: none
}

// NewFeed is a feed without tables.
func NewFeed(client *Client, log *slog.Logger) *Feed {
	return &Feed{client: client, log: log, news: make(chan struct{}, 1)}
}

// Follow adds a table of a resource. read makes the value of an object and is
// called by one goroutine; same tells whether two values are equal, for objects
// change much that nobody here reads.
func Follow[V any](f *Feed, resource Resource, read func(metav1.Object) Reading[V], same func(a, b V) bool) *Table[V] {
	t := newTable(f, resource, read, same)
	f.add(&follower{resource: resource, sink: t}, t.State)
	return t
}

// FollowOnDemand is Follow for a resource that is followed only while the table's
// Want says so. Meanwhile the table is empty and counts as synced.
func FollowOnDemand[V any](f *Feed, resource Resource, read func(metav1.Object) Reading[V], same func(a, b V) bool) *Table[V] {
	t := newTable(f, resource, read, same)
	t.gate = newGate(t, "not needed")
	f.add(&follower{resource: resource, sink: t, gate: t.gate}, t.State)
	return t
}

func newTable[V any](f *Feed, resource Resource, read func(metav1.Object) Reading[V], same func(a, b V) bool) *Table[V] {
	t := &Table[V]{read: read, same: same, wake: f.wake, entries: map[cluster.Name]entry[V]{}}
	t.log = f.log.With("server", f.client.Host, "resource", resource.Kind)
	if resource.newList != nil { // others say themselves
		t.kind.APIVersion = resource.client.APIVersion().String()
	}
	t.kind.Kind, t.state.Kind = resource.Kind, resource.Kind
	return t
}

func (f *Feed) add(follower *follower, state func() State) {
	f.followers = append(f.followers, follower)
	f.states = append(f.states, state)
}

// Pods follows the pods that keep wants. Equal parts of pods share memory.
func (f *Feed) Pods(keep func(*cluster.Pod) bool) *Table[*cluster.Pod] {
	shared := newInterner()
	var table *Table[*cluster.Pod]
	table = Follow(f, f.client.Pods(), func(object metav1.Object) Reading[*cluster.Pod] {
		pod, errs := k8s.Pod(object.(*corev1.Pod))
		if !keep(pod) {
			return Reading[*cluster.Pod]{Skip: true}
		}
		shared.tidy(table.Values)
		shared.pod(pod)
		return Reading[*cluster.Pod]{Value: pod, Errs: errs}
	}, samePod)
	return table
}

// Namespaces follows all namespaces.
func (f *Feed) Namespaces() *Table[*cluster.Namespace] {
	return Follow(f, f.client.Namespaces(), func(object metav1.Object) Reading[*cluster.Namespace] {
		return Reading[*cluster.Namespace]{Value: k8s.Namespace(object.(*corev1.Namespace))}
	}, func(a, b *cluster.Namespace) bool { return maps.Equal(a.Labels, b.Labels) })
}

// ServiceAccounts follows, on demand, the service accounts that have labels; all
// others are as good as none.
func (f *Feed) ServiceAccounts() *Table[*cluster.ServiceAccount] {
	return FollowOnDemand(f, f.client.ServiceAccounts(), func(object metav1.Object) Reading[*cluster.ServiceAccount] {
		account := k8s.ServiceAccount(object.(*corev1.ServiceAccount))
		return Reading[*cluster.ServiceAccount]{Value: account, Skip: len(account.Labels) == 0}
	}, func(a, b *cluster.ServiceAccount) bool { return maps.Equal(a.Labels, b.Labels) })
}

// Node follows one node.
func (f *Feed) Node(name string) *Table[*cluster.Node] {
	return Follow(f, f.client.Node(name), readNode, sameNode)
}

// OtherNodes follows, on demand, all nodes but one.
func (f *Feed) OtherNodes(name string) *Table[*cluster.Node] {
	t := FollowOnDemand(f, f.client.Nodes(), func(object metav1.Object) Reading[*cluster.Node] {
		if object.GetName() == name {
			return Reading[*cluster.Node]{Skip: true}
		}
		return readNode(object)
	}, sameNode)
	t.state.Kind = "OtherNode" // beside that of Node
	return t
}

func readNode(object metav1.Object) Reading[*cluster.Node] {
	node, errs := k8s.Node(object.(*corev1.Node))
	return Reading[*cluster.Node]{Value: node, Errs: errs}
}

// Run follows until the context ends.
func (f *Feed) Run(ctx context.Context) { f.run(ctx, retry) }

func (f *Feed) run(ctx context.Context, retry wait.Backoff) {
	var running sync.WaitGroup
	for _, follower := range f.followers {
		running.Go(func() { follower.run(ctx, retry) })
	}
	running.Wait()
}

// News receives after something changed. Whoever receives then takes from every
// table; changes that come before that are one piece of news.
func (f *Feed) News() <-chan struct{} { return f.news }

// Since is when the first change came after the last call; zero: none did.
func (f *Feed) Since() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := f.since
	f.since = time.Time{}
	return since
}

func (f *Feed) wake() {
	f.mu.Lock()
	if f.since.IsZero() {
		f.since = time.Now()
	}
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default: // somebody will take what is there already
	}
}

// Synced tells whether every table has seen a complete list.
func (f *Feed) Synced() bool {
	for _, state := range f.states {
		if !state().Synced {
			return false
		}
	}
	return true
}

// States are how the tables stand, in the order of their making.
func (f *Feed) States() []State {
	states := make([]State, 0, len(f.states))
	for _, state := range f.states {
		states = append(states, state())
	}
	return states
}

func samePod(a, b *cluster.Pod) bool {
	return a.Name == b.Name && a.ServiceAccount == b.ServiceAccount && a.Node == b.Node &&
		a.HostNetwork == b.HostNetwork && a.Workload == b.Workload &&
		slices.Equal(a.Addrs, b.Addrs) && slices.Equal(a.Ports, b.Ports) && maps.Equal(a.Labels, b.Labels)
}

func sameNode(a, b *cluster.Node) bool {
	return a.Name == b.Name && slices.Equal(a.Addrs, b.Addrs) &&
		slices.Equal(a.PodCIDRs, b.PodCIDRs) && maps.Equal(a.Labels, b.Labels)
}
