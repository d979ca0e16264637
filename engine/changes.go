package engine

import (
	"context"
	"fmt"
	"maps"

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

// known is what the last Sync told.
type known struct {
	namespaces map[string]*cluster.Namespace
	pods       map[cluster.Name]*cluster.Pod
	nodes      map[string]*cluster.Node
	policies   map[policy.Ref]*policy.Policy
	tiers      map[string]policy.Tier
}

func newKnown() known {
	return known{tiers: map[string]policy.Tier{policy.NetworkPolicyTier.Name: policy.NetworkPolicyTier}}
}

// Sync tells what the whole cluster is now and returns when it is in force, with
// the connections ended that are no longer allowed. Only what differs from the
// last Sync costs anything: objects are compared as pointers, so the caller
// shares those that did not change from one snapshot to the next. Sync and
// single changes do not mix.
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
	var all []func(*compile.Compiler)
	all = append(all, differences(k.tiers, set.Tiers,
		func(c *compile.Compiler, _ string, t policy.Tier) { c.SetTier(t) }, (*compile.Compiler).DeleteTier)...)
	all = append(all, differences(k.namespaces, snapshot.Namespaces,
		func(c *compile.Compiler, _ string, n *cluster.Namespace) { c.SetNamespace(n) }, (*compile.Compiler).DeleteNamespace)...)
	all = append(all, differences(k.nodes, snapshot.Nodes,
		func(c *compile.Compiler, _ string, n *cluster.Node) { c.SetNode(n) }, (*compile.Compiler).DeleteNode)...)
	all = append(all, differences(k.pods, snapshot.Pods,
		func(c *compile.Compiler, _ cluster.Name, p *cluster.Pod) { c.SetPod(p) }, (*compile.Compiler).DeletePod)...)
	all = append(all, differences(k.policies, set.Policies,
		func(c *compile.Compiler, _ policy.Ref, p *policy.Policy) { c.SetPolicy(p) }, (*compile.Compiler).DeletePolicy)...)
	k.tiers, k.policies = maps.Clone(set.Tiers), maps.Clone(set.Policies)
	k.namespaces, k.nodes, k.pods = maps.Clone(snapshot.Namespaces), maps.Clone(snapshot.Nodes), maps.Clone(snapshot.Pods)
	return all
}

func differences[K, V comparable](old, now map[K]V, set func(*compile.Compiler, K, V), gone func(*compile.Compiler, K)) []func(*compile.Compiler) {
	var all []func(*compile.Compiler)
	for k, v := range now {
		if was, ok := old[k]; !ok || was != v {
			all = append(all, func(c *compile.Compiler) { set(c, k, v) })
		}
	}
	for k := range old {
		if _, ok := now[k]; !ok {
			all = append(all, func(c *compile.Compiler) { gone(c, k) })
		}
	}
	return all
}
