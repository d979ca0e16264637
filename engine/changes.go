package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// SetNamespace tells of a namespace that is new or changed.
func (e *Engine) SetNamespace(n *cluster.Namespace) {
	e.tell(func(c *compile.Compiler) { c.SetNamespace(n) })
}

// DeleteNamespace tells that a namespace is gone.
func (e *Engine) DeleteNamespace(name string) {
	e.tell(func(c *compile.Compiler) { c.DeleteNamespace(name) })
}

// SetPod tells of a pod that is new or changed.
func (e *Engine) SetPod(p *cluster.Pod) { e.tell(func(c *compile.Compiler) { c.SetPod(p) }) }

// DeletePod tells that a pod is gone.
func (e *Engine) DeletePod(name cluster.Name) {
	e.tell(func(c *compile.Compiler) { c.DeletePod(name) })
}

// SetNode tells of a node that is new or changed.
func (e *Engine) SetNode(n *cluster.Node) { e.tell(func(c *compile.Compiler) { c.SetNode(n) }) }

// DeleteNode tells that a node is gone.
func (e *Engine) DeleteNode(name string) { e.tell(func(c *compile.Compiler) { c.DeleteNode(name) }) }

// SetPolicy tells of a policy that is new or changed.
func (e *Engine) SetPolicy(p *policy.Policy) { e.tell(func(c *compile.Compiler) { c.SetPolicy(p) }) }

// DeletePolicy tells that a policy is gone.
func (e *Engine) DeletePolicy(ref policy.Ref) {
	e.tell(func(c *compile.Compiler) { c.DeletePolicy(ref) })
}

// SetTier tells of a tier that is new or changed.
func (e *Engine) SetTier(t policy.Tier) { e.tell(func(c *compile.Compiler) { c.SetTier(t) }) }

// DeleteTier tells that a tier is gone.
func (e *Engine) DeleteTier(name string) { e.tell(func(c *compile.Compiler) { c.DeleteTier(name) }) }

// SetLearned tells which addresses the names have that a selector picks, by the
// selector's text; nil: none.
func (e *Engine) SetLearned(selector string, addrs []netip.Addr) {
	e.tell(func(c *compile.Compiler) { c.SetLearned(selector, addrs) })
}

// SetServiceAccount tells of a service account that is new or changed.
func (e *Engine) SetServiceAccount(a *cluster.ServiceAccount) {
	e.tell(func(c *compile.Compiler) { c.SetServiceAccount(a) })
}

// DeleteServiceAccount tells that a service account is gone.
func (e *Engine) DeleteServiceAccount(name cluster.Name) {
	e.tell(func(c *compile.Compiler) { c.DeleteServiceAccount(name) })
}

// SetNetworks tells of a set of networks that is new or changed.
func (e *Engine) SetNetworks(n *policy.Networks) {
	e.tell(func(c *compile.Compiler) { c.SetNetworks(n) })
}

// DeleteNetworks tells that a set of networks is gone.
func (e *Engine) DeleteNetworks(ref policy.Ref) {
	e.tell(func(c *compile.Compiler) { c.DeleteNetworks(ref) })
}

// SetEndpoints tells where a service leads.
func (e *Engine) SetEndpoints(s *cluster.Endpoints) {
	e.tell(func(c *compile.Compiler) { c.SetEndpoints(s) })
}

// DeleteEndpoints tells that a service leads nowhere.
func (e *Engine) DeleteEndpoints(name cluster.Name) {
	e.tell(func(c *compile.Compiler) { c.DeleteEndpoints(name) })
}

// Hold tells which addresses the node gives to its pods, in place of what was
// told before. Packets from and to those whose pod is not known are not let
// through.
func (e *Engine) Hold(prefixes []netip.Prefix) {
	e.tell(func(c *compile.Compiler) { c.Hold(prefixes) })
}

// SetHost tells of a host that is new or changed.
func (e *Engine) SetHost(h *policy.Host) { e.tell(func(c *compile.Compiler) { c.SetHost(h) }) }

// DeleteHost tells that a host is gone.
func (e *Engine) DeleteHost(ref policy.Ref) {
	e.tell(func(c *compile.Compiler) { c.DeleteHost(ref) })
}

// known is what the last Sync told.
type known struct {
	snapshot *cluster.Snapshot
	set      *policy.Set
}

// newKnown is what a compiler knows from the beginning.
func newKnown() known {
	set := policy.NewSet()
	set.Tiers = map[string]policy.Tier{}
	for _, t := range policy.StandardTiers() {
		set.Tiers[t.Name] = t
	}
	return known{cluster.NewSnapshot(), set}
}

// Sync tells what the whole cluster is now and returns when it is in force, with
// the connections ended that are no longer allowed. Only what differs from the
// last Sync costs anything: objects are compared as pointers, so the caller
// shares those that did not change from one snapshot to the next. Sync and
// single changes do not mix, but for SetLearned, of which Sync knows nothing.
func (e *Engine) Sync(ctx context.Context, snapshot *cluster.Snapshot, set *policy.Set) error {
	e.mu.Lock()
	e.pending = append(e.pending, e.known.changes(snapshot, set)...)
	e.ready = true
	e.mu.Unlock()
	if err := e.Wait(ctx); err != nil {
		return fmt.Errorf("sync node %s: %w", e.options.Node, err)
	}
	return nil
}

// changes are what turns the known cluster into another, which is known from
// then on.
func (k *known) changes(snapshot *cluster.Snapshot, set *policy.Set) []func(*compile.Compiler) {
	was, wasSet := k.snapshot, k.set
	changes := slices.Concat(
		differences(wasSet.Tiers, set.Tiers, (*compile.Compiler).SetTier, (*compile.Compiler).DeleteTier),
		differences(was.Namespaces, snapshot.Namespaces, (*compile.Compiler).SetNamespace, (*compile.Compiler).DeleteNamespace),
		differences(was.Nodes, snapshot.Nodes, (*compile.Compiler).SetNode, (*compile.Compiler).DeleteNode),
		differences(was.ServiceAccounts, snapshot.ServiceAccounts, (*compile.Compiler).SetServiceAccount, (*compile.Compiler).DeleteServiceAccount),
		differences(was.Endpoints, snapshot.Endpoints, (*compile.Compiler).SetEndpoints, (*compile.Compiler).DeleteEndpoints),
		differences(was.Pods, snapshot.Pods, (*compile.Compiler).SetPod, (*compile.Compiler).DeletePod),
		differences(wasSet.Networks, set.Networks, (*compile.Compiler).SetNetworks, (*compile.Compiler).DeleteNetworks),
		differences(wasSet.Hosts, set.Hosts, (*compile.Compiler).SetHost, (*compile.Compiler).DeleteHost),
		differences(wasSet.Policies, set.Policies, (*compile.Compiler).SetPolicy, (*compile.Compiler).DeletePolicy),
	)
	if failsafes := set.OpenPorts(); !reflect.DeepEqual(wasSet.OpenPorts(), failsafes) {
		changes = append(changes, func(c *compile.Compiler) { c.Failsafes(failsafes) })
	}
	// The maps are the caller's, who may go on changing them.
	k.snapshot = &cluster.Snapshot{
		Namespaces: maps.Clone(snapshot.Namespaces), Nodes: maps.Clone(snapshot.Nodes),
		ServiceAccounts: maps.Clone(snapshot.ServiceAccounts), Pods: maps.Clone(snapshot.Pods),
		Endpoints: maps.Clone(snapshot.Endpoints),
	}
	k.set = &policy.Set{Tiers: maps.Clone(set.Tiers), Networks: maps.Clone(set.Networks), Policies: maps.Clone(set.Policies),
		Hosts: maps.Clone(set.Hosts), Failsafes: set.Failsafes,
	}
	return changes
}

func differences[K, V comparable](old, now map[K]V, set func(*compile.Compiler, V), gone func(*compile.Compiler, K)) []func(*compile.Compiler) {
	var all []func(*compile.Compiler)
	for k, v := range now {
		if was, ok := old[k]; !ok || was != v {
			all = append(all, func(c *compile.Compiler) { set(c, v) })
		}
	}
	for k := range old {
		if _, ok := now[k]; !ok {
			all = append(all, func(c *compile.Compiler) { gone(c, k) })
		}
	}
	return all
}
