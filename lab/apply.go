package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/service"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Apply brings the lab to a cluster and its policies. After an error the lab is
// somewhere in between, and Apply may be called again.
//
// What goes, goes first; then policies are brought into force; then comes what
// is new, which is therefore isolated from its first packet.
func (l *Lab) Apply(ctx context.Context, snapshot *cluster.Snapshot, policies *policy.Set) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.config.Network.Check(snapshot); err != nil {
		return err
	}
	snapshot, policies = keepSame(l.snapshot, snapshot), keepSamePolicies(l.policies, policies)
	steps := []func(context.Context) error{
		func(context.Context) error { return l.removeOld(snapshot) },
		func(context.Context) error { return l.addNodes(snapshot) },
		func(ctx context.Context) error { return l.enforce(ctx, snapshot, policies) },
		func(context.Context) error { return l.serve(snapshot) },
		func(context.Context) error { return l.addPods(snapshot) },
		func(context.Context) error { return l.openPorts(snapshot) },
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	l.snapshot, l.policies = snapshot, policies
	l.show()
	return nil
}

// keepSame is the new cluster with the old one's objects where they are equal:
// engines compare pointers.
func keepSame(old, now *cluster.Snapshot) *cluster.Snapshot {
	return &cluster.Snapshot{
		Namespaces: same(old.Namespaces, now.Namespaces), Pods: same(old.Pods, now.Pods),
		Nodes: same(old.Nodes, now.Nodes), Services: same(old.Services, now.Services),
		ServiceAccounts: same(old.ServiceAccounts, now.ServiceAccounts), Endpoints: same(old.Endpoints, now.Endpoints),
		Names: now.Names,
	}
}

func keepSamePolicies(old, now *policy.Set) *policy.Set {
	return &policy.Set{
		Tiers: now.Tiers, Networks: same(old.Networks, now.Networks), Policies: same(old.Policies, now.Policies),
		Hosts: same(old.Hosts, now.Hosts), Failsafes: now.Failsafes, Learned: now.Learned,
	}
}

func same[K comparable, V any](old, now map[K]*V) map[K]*V {
	kept := make(map[K]*V, len(now))
	for k, v := range now {
		if was, ok := old[k]; ok && reflect.DeepEqual(was, v) {
			v = was
		}
		kept[k] = v
	}
	return kept
}

// removeOld removes nodes and pods that are gone or have to be made anew.
func (l *Lab) removeOld(s *cluster.Snapshot) error {
	var errs []error
	moved := func(name string) bool {
		node, ok := s.Nodes[name]
		return !ok || !sameNode(l.nodes[name].object, node)
	}
	for name, p := range l.pods {
		if now, ok := s.Pods[name]; !ok || !samePod(p.object, now) || moved(p.object.Node) {
			delete(l.pods, name)
			errs = append(errs, p.close(), l.net.RemovePod(name))
		}
	}
	for name, n := range l.nodes {
		if moved(name) {
			delete(l.nodes, name)
			errs = append(errs, n.close(), l.net.RemoveNode(name))
		}
	}
	return errors.Join(errs...)
}

// sameNode and samePod tell whether the network needs no change.
func sameNode(a, b *cluster.Node) bool {
	return slices.Equal(a.Addrs, b.Addrs) && slices.Equal(a.PodCIDRs, b.PodCIDRs)
}

func samePod(a, b *cluster.Pod) bool {
	return a.Node == b.Node && a.HostNetwork == b.HostNetwork && slices.Equal(a.Addrs, b.Addrs)
}

func (l *Lab) addNodes(s *cluster.Snapshot) error {
	var mu sync.Mutex
	return each(slices.Sorted(maps.Keys(s.Nodes)), func(name string) error {
		mu.Lock()
		n, ok := l.nodes[name]
		mu.Unlock()
		if ok {
			n.object = s.Nodes[name]
			return nil
		}
		n, err := l.newNode(s.Nodes[name])
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		l.nodes[name] = n
		return nil
	})
}

// enforce brings the policies into force on all nodes.
func (l *Lab) enforce(ctx context.Context, s *cluster.Snapshot, policies *policy.Set) error {
	return each(slices.Collect(maps.Values(l.nodes)), func(n *node) error { return n.enforce(ctx, s, policies) })
}

// serve brings services and names up to date.
func (l *Lab) serve(s *cluster.Snapshot) error {
	l.names.Set(s)
	entries := service.Entries(s)
	if err := each(slices.Collect(maps.Values(l.nodes)), func(n *node) error {
		if err := n.proxy.Apply(entries); err != nil {
			return fmt.Errorf("serve on node %s: %w", n.object.Name, err)
		}
		return nil
	}); err != nil {
		return err
	}
	return l.hide(s)
}

// hide keeps the outside host from answering for services.
func (l *Lab) hide(s *cluster.Snapshot) error {
	desired := map[netip.Addr]bool{}
	for _, svc := range s.Services {
		for _, addr := range svc.ClusterIPs {
			desired[addr] = true
		}
	}
	for addr := range desired {
		if !l.hidden[addr] {
			if err := l.net.Hide(addr); err != nil {
				return err
			}
			l.hidden[addr] = true
		}
	}
	for addr := range l.hidden {
		if !desired[addr] {
			if err := l.net.Unhide(addr); err != nil {
				return err
			}
			delete(l.hidden, addr)
		}
	}
	return nil
}

func (l *Lab) addPods(s *cluster.Snapshot) error {
	var mu sync.Mutex
	return each(sortedPods(s), func(object *cluster.Pod) error {
		if object.Node == "" || len(object.Addrs) == 0 {
			return nil // it runs nowhere
		}
		mu.Lock()
		p, ok := l.pods[object.Name]
		mu.Unlock()
		if ok {
			p.object = object
			return nil
		}
		p, err := l.newPod(object)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		l.pods[object.Name] = p
		return nil
	})
}

// openPorts opens the ports of nodes, and those that pods got since they were
// made.
func (l *Lab) openPorts(s *cluster.Snapshot) error {
	for _, p := range l.pods {
		if p.ports != nil {
			if err := p.ports.apply(podPorts(p.object)); err != nil {
				return err
			}
		}
	}
	for name, n := range l.nodes {
		desired, _ := nodePorts(s, name)
		if err := n.ports.apply(desired); err != nil {
			return err
		}
	}
	return nil
}

func sortedPods(s *cluster.Snapshot) []*cluster.Pod {
	return slices.SortedFunc(maps.Values(s.Pods), func(a, b *cluster.Pod) int {
		return strings.Compare(a.Name.String(), b.Name.String())
	})
}

// each does something to all items, a few at a time, and returns the errors of
// all. The kernel makes namespaces one after the other in the end, so more
// threads would only wait.
func each[T any](items []T, do func(T) error) error {
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, item := range items {
		group.Go(func() error {
			if err := do(item); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(errs...)
}
