package gen

import (
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Changes are n changes that follow each other from a world, which stays as it
// is. Each is something that happens in a cluster: pods start, stop, move, get
// other labels, are replaced by others at the same address; namespaces, nodes,
// policies and tiers come, change and go.
func Changes(r *rand.Rand, s Shape, w *World, n int) []Change {
	g := &generator{Rand: r, Shape: s, world: w.Clone()}
	return g.changes(n, g.change)
}

// Edits are n changes of the policies that there are, one by one.
func Edits(r *rand.Rand, s Shape, w *World, n int) []Change {
	g := &generator{Rand: r, Shape: s, world: w.Clone()}
	if len(w.Set.Policies) == 0 {
		return nil
	}
	return g.changes(n, func(int) []Change { return g.changedPolicy() })
}

func (g *generator) changes(n int, next func(serial int) []Change) []Change {
	serial := len(g.world.Snapshot.Pods)
	var all []Change
	for len(all) < n {
		for _, c := range next(serial + len(all)) {
			c(g.world)
			all = append(all, c)
		}
	}
	return all
}

// change is one event; serial makes the names of new things.
func (g *generator) change(serial int) []Change {
	if g.Hosts && g.in(8) {
		return g.changedHost()
	}
	switch g.IntN(19) {
	case 0, 1:
		return []Change{setPod(g.pod(serial))}
	case 2:
		return g.deletedPod()
	case 3, 4, 5, 6:
		return g.changedPod(serial)
	case 7:
		return g.replacedPod(serial)
	case 8:
		return g.changedNamespace()
	case 9:
		return g.changedNode()
	case 10:
		return []Change{setPolicy(g.policy(serial))}
	case 11:
		return g.deletedPolicy()
	case 12:
		return g.changedPolicy()
	case 13, 14:
		return g.changedNetworks()
	case 15:
		return g.changedAccount()
	case 16:
		return g.changedEndpoints()
	case 17:
		return g.changedLearned()
	}
	return g.changedTier()
}

func setPod(p *cluster.Pod) Change      { return func(t Target) { t.SetPod(p) } }
func deletePod(p *cluster.Pod) Change   { return func(t Target) { t.DeletePod(p.Name) } }
func setPolicy(p *policy.Policy) Change { return func(t Target) { t.SetPolicy(p) } }

func (g *generator) anyPod() (*cluster.Pod, bool) {
	pods := g.world.pods()
	if len(pods) == 0 {
		return nil, false
	}
	return pods[g.IntN(len(pods))], true
}

func (g *generator) deletedPod() []Change {
	if p, ok := g.anyPod(); ok {
		return []Change{deletePod(p)}
	}
	return nil
}

// changedPod is a pod with something else about it.
func (g *generator) changedPod(serial int) []Change {
	old, ok := g.anyPod()
	if !ok {
		return nil
	}
	p, other := *old, g.pod(serial)
	switch g.IntN(6) {
	case 0, 1:
		p.Labels = other.Labels
	case 2:
		p.Ports, p.ServiceAccount = other.Ports, other.ServiceAccount
	case 3:
		p.Node = other.Node // and keeps its address
	case 4:
		p.Addrs, p.HostNetwork, p.Node = other.Addrs, other.HostNetwork, other.Node
	case 5: // the same once more
		p.Labels = maps.Clone(old.Labels)
	}
	return []Change{setPod(&p)}
}

// replacedPod is a pod that gets another's address, as that one goes: before it,
// at the same time, or after it.
func (g *generator) replacedPod(serial int) []Change {
	old, ok := g.anyPod()
	if !ok {
		return nil
	}
	p := g.pod(serial)
	p.Addrs, p.Node, p.HostNetwork = old.Addrs, old.Node, old.HostNetwork
	if g.in(2) {
		return []Change{setPod(p), deletePod(old)}
	}
	return []Change{deletePod(old), setPod(p)}
}

func (g *generator) changedNamespace() []Change {
	n := g.IntN(g.Namespaces)
	if g.in(3) {
		return []Change{func(t Target) { t.DeleteNamespace(namespaceName(n)) }}
	}
	ns := g.namespace(n)
	return []Change{func(t Target) { t.SetNamespace(ns) }}
}

func (g *generator) changedNode() []Change {
	names := slices.Sorted(maps.Keys(g.world.Snapshot.Nodes))
	n := *g.world.Snapshot.Nodes[one(g, names...)]
	n.Labels = map[string]string{"zone": one(g, "a", "b")}
	n.Addrs = n.Addrs[:g.IntN(len(n.Addrs)+1)]
	if len(n.Addrs) == 0 {
		n.Addrs = dual("192.168.0.9", "fd01::9")
	}
	return []Change{func(t Target) { t.SetNode(&n) }}
}

func (g *generator) anyPolicy() (*policy.Policy, bool) {
	policies := g.world.Set.Sorted()
	if len(policies) == 0 {
		return nil, false
	}
	return policies[g.IntN(len(policies))], true
}

func (g *generator) deletedPolicy() []Change {
	p, ok := g.anyPolicy()
	if !ok {
		return nil
	}
	return []Change{func(t Target) { t.DeletePolicy(p.Ref) }}
}

// changedPolicy is a policy with the subject, the rules or the order of another.
func (g *generator) changedPolicy() []Change {
	old, ok := g.anyPolicy()
	if !ok {
		return nil
	}
	p, other := *old, g.networkPolicy(0)
	if g.General {
		other = g.general(0)
	}
	if g.Mixed {
		other = g.mixed(0)
	}
	switch g.IntN(6) {
	case 0:
		p.Subject.Pods = other.Subject.Pods
	case 1:
		p.Ingress = other.Ingress
	case 2:
		p.Egress = other.Egress
	case 3:
		if g.General {
			p.Tier, p.Order = other.Tier, other.Order
		}
	default:
		p.Ingress, p.Egress = g.edited(p.Ingress, other.Ingress), g.edited(p.Egress, other.Egress)
	}
	return []Change{setPolicy(&p)}
}

// edited are rules of which one is another's, whole or in part.
func (g *generator) edited(rules, other *policy.Rules) *policy.Rules {
	if rules == nil || other == nil || len(rules.Rules) == 0 || len(other.Rules) == 0 {
		return rules
	}
	edited := *rules
	edited.Rules = slices.Clone(rules.Rules)
	rule, from := &edited.Rules[g.IntN(len(rules.Rules))], other.Rules[g.IntN(len(other.Rules))]
	switch g.IntN(3) {
	case 0:
		*rule = from
	case 1:
		rule.Peers, rule.AnyPeer = from.Peers, from.AnyPeer
	case 2:
		rule.Ports, rule.AnyPort, rule.NotPorts = from.Ports, from.AnyPort, from.NotPorts
	}
	return &edited
}

// changedNetworks is a set of networks that comes, goes, or has other blocks or
// labels.
func (g *generator) changedNetworks() []Change {
	if !g.General && !g.Mixed {
		return nil
	}
	n := g.networks(g.IntN(4))
	if g.Mixed {
		n = g.mixedNetworks(g.IntN(4))
	}
	if g.in(3) {
		return []Change{func(t Target) { t.DeleteNetworks(n.Ref) }}
	}
	return []Change{func(t Target) { t.SetNetworks(n) }}
}

func (g *generator) changedAccount() []Change {
	if !g.General && !g.Mixed {
		return nil
	}
	a := g.account()
	if g.in(3) {
		return []Change{func(t Target) { t.DeleteServiceAccount(a.Name) }}
	}
	return []Change{func(t Target) { t.SetServiceAccount(a) }}
}

func (g *generator) changedEndpoints() []Change {
	if !g.General && !g.Mixed {
		return nil
	}
	e := g.endpoints(g.IntN(4))
	if g.in(3) {
		return []Change{func(t Target) { t.DeleteEndpoints(e.Name) }}
	}
	return []Change{func(t Target) { t.SetEndpoints(e) }}
}

// changedTier is a tier at another place, or with another end. Tiers do not go
// while policies may be in them.
func (g *generator) changedTier() []Change {
	if !g.General && !g.Mixed {
		return nil
	}
	t := g.tier(g.IntN(3))
	return []Change{func(target Target) { target.SetTier(t) }}
}
