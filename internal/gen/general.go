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
			Dialect:   one(g, policy.ClusterNetwork, policy.Calico, policy.Cilium),
			Kind:      one(g, "Policy", "ClusterPolicy"),
			Namespace: one(g, "", namespaceName(g.IntN(g.Namespaces))),
			Name:      fmt.Sprintf("policy-%d", n),
		},
		Tier:  one(g, slices.Sorted(maps.Keys(g.world.Set.Tiers))...),
		Order: one(g, 1.0, 1, 5, 1000),
	}
	p.Subject = policy.PodSelector{Namespace: p.Namespace, Pods: g.selector("app", "role", "team")}
	if g.in(3) {
		p.Subject.Pods = g.anySelector("app", "team", "ns/env", "sa", "sa/team")
	}
	if p.Namespace == "" {
		p.Subject.Namespaces = g.selector("env", "team")
	}
	direction := g.IntN(3)
	if direction != 0 {
		p.Ingress = g.generalRules(traffic.Ingress)
	}
	if direction != 1 {
		p.Egress = g.generalRules(traffic.Egress)
		if g.Content {
			g.byName(p)
		}
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
		for i := range r.Peers {
			if g.in(2) {
				r.Peers[i] = g.generalPeer()
			}
		}
		if g.in(10) {
			r.Peers = nil
		}
		for range max(g.IntN(6)-3, 0) {
			r.NotPorts = append(r.NotPorts, g.generalPort(g.port(d)))
		}
		r.Self = g.self()
		if g.Content {
			g.content(&r)
		}
		rules.Rules = append(rules.Rules, r)
	}
	return rules
}

// icmp is a type of ICMP with all its codes, or with one.
func (g *generator) icmp() policy.Port {
	p := policy.Port{Protocol: one(g, traffic.ICMP, traffic.ICMPv6, traffic.AnyProtocol), Typed: true}
	kind := one(g, icmpTypes...)
	p.From, p.To = traffic.ICMPPort(kind, 0), traffic.ICMPPort(kind, 255)
	if g.in(2) {
		p.To = p.From + uint16(g.IntN(2))
		p.From = p.To
	}
	return p
}

// generalPort adds what NetworkPolicy cannot say of ports.
func (g *generator) generalPort(p policy.Port) policy.Port {
	switch {
	case g.in(5):
		p.Protocol = traffic.AnyProtocol
	case g.in(8):
		p = policy.Port{Protocol: one(g, traffic.ICMP, traffic.ICMPv6, traffic.Protocol(47))}
	case g.in(8):
		p = g.icmp()
	case g.in(20):
		p.Protocol = traffic.ICMP // with ports: matches nothing
	}
	return p
}
