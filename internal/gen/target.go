package gen

import (
	"maps"
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Target is told of changes, one object at a time.
type Target interface {
	SetNamespace(*cluster.Namespace)
	DeleteNamespace(string)
	SetNode(*cluster.Node)
	DeleteNode(string)
	SetPod(*cluster.Pod)
	DeletePod(cluster.Name)
	SetPolicy(*policy.Policy)
	DeletePolicy(policy.Ref)
	SetTier(policy.Tier)
	DeleteTier(string)
	SetNetworks(*policy.Networks)
	DeleteNetworks(policy.Ref)
	SetHost(*policy.Host)
	DeleteHost(policy.Ref)
	SetServiceAccount(*cluster.ServiceAccount)
	DeleteServiceAccount(cluster.Name)
	SetEndpoints(*cluster.Endpoints)
	DeleteEndpoints(cluster.Name)
	SetLearned(string, []netip.Addr)
}

// A World is a Target itself.
var _ Target = (*World)(nil)

// SetNamespace adds or replaces a namespace.
func (w *World) SetNamespace(n *cluster.Namespace) { w.Snapshot.Namespaces[n.Name] = n }

// DeleteNamespace takes a namespace away.
func (w *World) DeleteNamespace(name string) { delete(w.Snapshot.Namespaces, name) }

// SetNode adds or replaces a node.
func (w *World) SetNode(n *cluster.Node) { w.Snapshot.Nodes[n.Name] = n }

// DeleteNode takes a node away.
func (w *World) DeleteNode(name string) { delete(w.Snapshot.Nodes, name) }

// SetPod adds or replaces a pod.
func (w *World) SetPod(p *cluster.Pod) { w.Snapshot.Pods[p.Name] = p }

// DeletePod takes a pod away.
func (w *World) DeletePod(name cluster.Name) { delete(w.Snapshot.Pods, name) }

// SetPolicy adds or replaces a policy.
func (w *World) SetPolicy(p *policy.Policy) { w.Set.Policies[p.Ref] = p }

// DeletePolicy takes a policy away.
func (w *World) DeletePolicy(ref policy.Ref) { delete(w.Set.Policies, ref) }

// SetTier adds or replaces a tier.
func (w *World) SetTier(t policy.Tier) { w.Set.Tiers[t.Name] = t }

// DeleteTier takes a tier away.
func (w *World) DeleteTier(name string) { delete(w.Set.Tiers, name) }

// SetNetworks adds or replaces a set of networks.
func (w *World) SetNetworks(n *policy.Networks) { w.Set.Networks[n.Ref] = n }

// SetHost adds or replaces a host.
func (w *World) SetHost(h *policy.Host) { w.Set.Hosts[h.Ref] = h }

// DeleteHost takes a host away.
func (w *World) DeleteHost(ref policy.Ref) { delete(w.Set.Hosts, ref) }

// DeleteNetworks takes a set of networks away.
func (w *World) DeleteNetworks(ref policy.Ref) { delete(w.Set.Networks, ref) }

// SetServiceAccount adds or replaces a service account.
func (w *World) SetServiceAccount(a *cluster.ServiceAccount) {
	w.Snapshot.ServiceAccounts[a.Name] = a
}

// DeleteServiceAccount takes a service account away.
func (w *World) DeleteServiceAccount(name cluster.Name) { delete(w.Snapshot.ServiceAccounts, name) }

// SetEndpoints tells where a service leads.
func (w *World) SetEndpoints(e *cluster.Endpoints) { w.Snapshot.Endpoints[e.Name] = e }

// DeleteEndpoints tells that a service leads nowhere.
func (w *World) DeleteEndpoints(name cluster.Name) { delete(w.Snapshot.Endpoints, name) }

// SetLearned adds or replaces the addresses of a selector's names; without
// addresses it takes them away.
func (w *World) SetLearned(selector string, addrs []netip.Addr) {
	delete(w.Set.Learned, selector)
	if len(addrs) > 0 {
		w.Set.Learned[selector] = addrs
	}
}

// Clone is a world of its own with the same objects.
func (w *World) Clone() *World {
	return &World{
		Snapshot: &cluster.Snapshot{
			Namespaces: maps.Clone(w.Snapshot.Namespaces), Pods: maps.Clone(w.Snapshot.Pods),
			Nodes: maps.Clone(w.Snapshot.Nodes), Services: maps.Clone(w.Snapshot.Services), Names: maps.Clone(w.Snapshot.Names),
			ServiceAccounts: maps.Clone(w.Snapshot.ServiceAccounts), Endpoints: maps.Clone(w.Snapshot.Endpoints),
		},
		Set: &policy.Set{
			Tiers: maps.Clone(w.Set.Tiers), Policies: maps.Clone(w.Set.Policies), Networks: maps.Clone(w.Set.Networks),
			Learned: maps.Clone(w.Set.Learned),
			Hosts:   maps.Clone(w.Set.Hosts), Failsafes: w.Set.Failsafes,
		},
	}
}

// Change is one object that is set or deleted.
type Change func(Target)

// Between are the changes that turn world a into world b, one for each object
// that differs, in no particular order. Any order of them does.
func Between(a, b *World) []Change {
	var all []Change
	all = append(all, between(a.Snapshot.Namespaces, b.Snapshot.Namespaces, Target.SetNamespace, Target.DeleteNamespace)...)
	all = append(all, between(a.Snapshot.Nodes, b.Snapshot.Nodes, Target.SetNode, Target.DeleteNode)...)
	all = append(all, between(a.Snapshot.Pods, b.Snapshot.Pods, Target.SetPod, Target.DeletePod)...)
	all = append(all, between(a.Set.Policies, b.Set.Policies, Target.SetPolicy, Target.DeletePolicy)...)
	all = append(all, between(a.Snapshot.ServiceAccounts, b.Snapshot.ServiceAccounts, Target.SetServiceAccount, Target.DeleteServiceAccount)...)
	all = append(all, between(a.Snapshot.Endpoints, b.Snapshot.Endpoints, Target.SetEndpoints, Target.DeleteEndpoints)...)
	all = append(all, between(a.Set.Networks, b.Set.Networks, Target.SetNetworks, Target.DeleteNetworks)...)
	all = append(all, between(a.Set.Hosts, b.Set.Hosts, Target.SetHost, Target.DeleteHost)...)
	all = append(all, between(a.Set.Tiers, b.Set.Tiers, Target.SetTier, Target.DeleteTier)...)
	for selector, addrs := range b.Set.Learned {
		all = append(all, func(t Target) { t.SetLearned(selector, addrs) })
	}
	for selector := range a.Set.Learned {
		if _, ok := b.Set.Learned[selector]; !ok {
			all = append(all, func(t Target) { t.SetLearned(selector, nil) })
		}
	}
	return all
}

func between[K, V comparable](a, b map[K]V, set func(Target, V), gone func(Target, K)) []Change {
	var all []Change
	for k, v := range b {
		if old, ok := a[k]; !ok || old != v {
			all = append(all, func(t Target) { set(t, v) })
		}
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			all = append(all, func(t Target) { gone(t, k) })
		}
	}
	return all
}
