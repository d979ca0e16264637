package main

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Tiers of Calico's before and after NetworkPolicies.
var (
	security = policy.Tier{Name: "security", Order: 100, End: policy.Pass}
	platform = policy.Tier{Name: "platform", Order: 500_000, End: policy.Pass}
	late     = policy.Tier{Name: "late", Order: 2_000_000, End: policy.Deny}
)

// newMixedWorld is the large cluster with its policies spread over all dialects and
// tiers. The client and the server are under some of each, so that their
// connections pass every tier.
func newMixedWorld(pods, policies int) *gen.World {
	own := crossing()
	w := withEnds(gen.Large(gen.Source(1, 0), pods-2, max(0, policies-minPolicies-len(own)), 0))
	for _, t := range []policy.Tier{security, platform, late} {
		w.SetTier(t)
	}
	for n, p := range w.Set.Sorted() {
		if p.Namespace == namespace {
			continue // the client's and the server's stay
		}
		w.DeletePolicy(p.Ref)
		w.SetPolicy(spread(p, n))
	}
	for _, p := range own[:min(len(own), max(0, policies-minPolicies))] {
		w.SetPolicy(p)
	}
	return w
}

// spread is a NetworkPolicy as one of four dialects has it, in one of its tiers.
func spread(p *policy.Policy, n int) *policy.Policy {
	q := *p
	switch n % 4 {
	case 1:
		q.Dialect, q.Order = policy.Calico, float64(n%50)
		q.Tier = []string{policy.NetworkPolicyTier.Name, security.Name, platform.Name, late.Name}[n/4%4]
	case 2:
		return clusterWide(&q, n)
	case 3:
		q.Dialect, q.Kind, q.Order = policy.Cilium, "CiliumNetworkPolicy", 0
		q.Ingress, q.Egress = outside(q.Ingress), outside(q.Egress)
	}
	return &q
}

// clusterWide: a ClusterNetworkPolicy isolates nobody and names its namespace.
func clusterWide(p *policy.Policy, n int) *policy.Policy {
	p.Ref = policy.Ref{Dialect: policy.ClusterNetwork, Kind: "ClusterNetworkPolicy", Name: p.Namespace + "." + p.Ref.Name}
	p.Tier, p.Order = policy.AdminTier.Name, float64(n%1000)
	if n/4%2 == 1 {
		p.Tier = policy.BaselineTier.Name
	}
	p.Subject.Namespaces = labels.SelectorFromSet(labels.Set{cluster.NamespaceNameLabel: p.Subject.Namespace})
	p.Subject.Namespace = ""
	for _, rules := range []**policy.Rules{&p.Ingress, &p.Egress} {
		if *rules != nil {
			*rules = &policy.Rules{Rules: (*rules).Rules}
		}
	}
	return p
}

// outside: Cilium's blocks leave pods and nodes out.
func outside(rules *policy.Rules) *policy.Rules {
	if rules == nil {
		return nil
	}
	out := &policy.Rules{Isolates: rules.Isolates, Rules: slices.Clone(rules.Rules)}
	for i, r := range out.Rules {
		out.Rules[i].Peers = slices.Clone(r.Peers)
		for j, p := range r.Peers {
			if p.CIDR != nil {
				out.Rules[i].Peers[j].Not = []policy.Peer{{Pods: &policy.PodSelector{}}, {Nodes: &policy.NodeSelector{}}}
			}
		}
	}
	return out
}

// crossing are policies of each dialect for the client and the server that leave
// the decision to the NetworkPolicies of the benchmark.
func crossing() []*policy.Policy {
	bench := policy.PodSelector{Namespace: namespace}
	everybody := policy.Peer{Pods: &policy.PodSelector{}}
	make := func(d policy.Dialect, kind, name, tier string, isolates bool, rules ...policy.Rule) *policy.Policy {
		r := &policy.Rules{Isolates: isolates, Rules: rules}
		return &policy.Policy{
			Ref:  policy.Ref{Dialect: d, Kind: kind, Namespace: namespace, Name: name},
			Tier: tier, Order: 10, Subject: bench, Ingress: r, Egress: r,
		}
	}
	ports := func(action policy.Action, from, to uint16) policy.Rule {
		return policy.Rule{Action: action, Peers: []policy.Peer{everybody}, Ports: []policy.Port{{Protocol: traffic.TCP, From: from, To: to}}}
	}
	pass := policy.Rule{Action: policy.Pass, AnyPeer: true, AnyPort: true}
	return []*policy.Policy{
		make(policy.ClusterNetwork, "ClusterNetworkPolicy", "no-ssh", policy.AdminTier.Name, false, ports(policy.Deny, 22, 22)),
		make(policy.Calico, "NetworkPolicy", "security.guard", security.Name, true, ports(policy.Deny, 23, 23), pass),
		make(policy.Calico, "NetworkPolicy", "platform.guard", platform.Name, true, ports(policy.Deny, 25, 25)),
		make(policy.Calico, "NetworkPolicy", "guard", policy.NetworkPolicyTier.Name, true, ports(policy.Deny, 24, 24)),
		make(policy.Cilium, "CiliumNetworkPolicy", "guard", policy.NetworkPolicyTier.Name, true, ports(policy.Deny, 21, 21)),
		make(policy.ClusterNetwork, "ClusterNetworkPolicy", "open", policy.BaselineTier.Name, false, ports(policy.Allow, 1, 65535)),
	}
}
