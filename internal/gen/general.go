package gen

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// general is a policy of any dialect: in any tier, for any pods, with rules that
// deny, pass and log.
func (g *generator) general(n int) *policy.Policy {
	p := &policy.Policy{
		Ref: policy.Ref{
			Dialect:   one(g, policy.ClusterNetwork, policy.Calico),
			Kind:      one(g, "Policy", "ClusterPolicy"),
			Namespace: one(g, "", namespaceName(g.IntN(g.Namespaces))),
			Name:      fmt.Sprintf("policy-%d", n),
		},
		Tier:  one(g, slices.Sorted(maps.Keys(g.world.Set.Tiers))...),
		Order: one(g, 1.0, 1, 5, 1000),
	}
	p.Subject = policy.PodSelector{Namespace: p.Namespace, Pods: g.selector("app", "role", "team")}
	if p.Namespace == "" {
		p.Subject.Namespaces = g.selector("env", "team")
	}
	direction := g.IntN(3)
	if direction != 0 {
		p.Ingress = g.generalRules(traffic.Ingress)
	}
	if direction != 1 {
		p.Egress = g.generalRules(traffic.Egress)
	}
	return p
}

func (g *generator) generalRules(d traffic.Direction) *policy.Rules {
	rules := &policy.Rules{Isolates: g.in(2)}
	for range g.IntN(5) {
		r := g.rule(namespaceName(g.IntN(g.Namespaces)), d)
		r.Action = one(g, policy.Allow, policy.Allow, policy.Deny, policy.Pass, policy.Log)
		for i := range r.Ports {
			r.Ports[i] = g.generalPort(r.Ports[i])
		}
		if g.in(10) {
			r.Peers = nil
		}
		rules.Rules = append(rules.Rules, r)
	}
	return rules
}

// generalPort adds what NetworkPolicy cannot say of ports.
func (g *generator) generalPort(p policy.Port) policy.Port {
	switch {
	case g.in(5):
		p.Protocol = traffic.AnyProtocol
	case g.in(8):
		p = policy.Port{Protocol: one(g, traffic.ICMP, traffic.ICMPv6, traffic.Protocol(47))}
	case g.in(20):
		p.Protocol = traffic.ICMP // with ports: matches nothing
	}
	return p
}
