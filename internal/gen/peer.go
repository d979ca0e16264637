package gen

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico/selector"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

// generalPeer is a peer of any dialect.
func (g *generator) generalPeer() policy.Peer {
	if g.in(2) {
		return g.atom()
	}
	var p policy.Peer
	switch g.IntN(8) {
	case 0, 1:
	case 2, 3:
		p.Services = g.serviceSelector()
	default:
		p = g.atom()
	}
	for range g.IntN(2) {
		p.And = append(p.And, g.atom())
	}
	for range g.IntN(3) {
		p.Not = append(p.Not, g.atom())
	}
	return p
}

func (g *generator) atom() policy.Peer {
	switch g.IntN(7) {
	case 0:
		return policy.Peer{Nodes: g.nodeSelector()}
	case 1:
		return policy.Peer{Networks: g.networkSelector()}
	case 2, 3:
		return policy.Peer{Pods: &policy.PodSelector{Pods: g.anySelector("app", "role", "ns", "ns/env", "sa", "sa/team")}}
	}
	return g.peer(namespaceName(g.IntN(g.Namespaces)))
}

func (g *generator) nodeSelector() *policy.NodeSelector {
	s := &policy.NodeSelector{Which: one(g, policy.AnyNode, policy.OwnNode, policy.OtherNode)}
	if g.in(2) {
		s.Nodes = g.selector("zone")
	}
	return s
}

func (g *generator) networkSelector() *policy.NetworkSelector {
	s := &policy.NetworkSelector{Dialect: one(g, policy.Calico, policy.Cilium)}
	switch g.IntN(4) {
	case 0:
		s.Name = networksName(g.IntN(3))
	case 1, 2:
		s.Networks = g.anySelector("app", "role", "ns", "ns/env")
	}
	return s
}

// anySelector is a selector of the language that knows most. Keys below ns and sa
// are the namespace's and the service account's.
func (g *generator) anySelector(keys ...string) policy.Selector {
	s, err := selector.Parse(g.expression(3, keys))
	if err != nil {
		panic(err) // the words are all valid
	}
	return s.Rename(func(key string) string {
		kind, label, isLabel := strings.Cut(key, "/")
		name := map[string]string{"ns": policy.NamespaceKey, "sa": policy.AccountKey}[kind]
		switch {
		case name == "":
			return key
		case isLabel:
			return name + "/" + label
		}
		return name
	})
}

func (g *generator) expression(depth int, keys []string) string {
	if depth > 0 && g.in(2) {
		text := fmt.Sprintf("(%s %s %s)", g.expression(depth-1, keys), one(g, "&&", "||"), g.expression(depth-1, keys))
		return one(g, "", "!") + text
	}
	key := one(g, keys...)
	value := func() string { return one(g, "a", "b", "c") }
	if key == "ns" || key == "projectcalico.org/namespace" || key == "projectcalico.org/name" {
		value = func() string { return namespaceName(g.IntN(g.Namespaces)) }
	}
	switch g.IntN(6) {
	case 0:
		return fmt.Sprintf("%s != '%s'", key, value())
	case 1:
		return fmt.Sprintf("%s %s {'%s', '%s'}", key, one(g, "in", "not in"), value(), value())
	case 2:
		return one(g, "", "!") + "has(" + key + ")"
	case 3:
		return fmt.Sprintf("%s %s '%s'", key, one(g, "contains", "starts with", "ends with"), one(g, "a", "1", "ns"))
	}
	return fmt.Sprintf("%s == '%s'", key, value())
}

func networksName(n int) string { return fmt.Sprintf("networks-%d", n) }

// networks is a set of networks of Calico or Cilium.
func (g *generator) networks(n int) *policy.Networks {
	s := &policy.Networks{Labels: g.labels("app", "role")}
	s.Ref = policy.Ref{Dialect: policy.Calico, Kind: "NetworkSet", Namespace: one(g, "", namespaceName(g.IntN(g.Namespaces))), Name: networksName(n)}
	if g.in(3) {
		s.Ref = policy.Ref{Dialect: policy.Cilium, Kind: "CiliumCIDRGroup", Name: networksName(n)}
	}
	for range g.IntN(4) {
		s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(one(g, blocks...)))
	}
	s.Prefixes = syntax.Disjoint(s.Prefixes)
	return s
}

func (g *generator) account() *cluster.ServiceAccount {
	return &cluster.ServiceAccount{
		Name:   cluster.Name{Namespace: namespaceName(g.IntN(g.Namespaces)), Name: one(g, "a", "b", "default")},
		Labels: g.labels("team"),
	}
}

func serviceName(n int) string { return fmt.Sprintf("service-%d", n) }

func (g *generator) serviceSelector() *policy.ServiceSelector {
	s := &policy.ServiceSelector{Namespace: one(g, "", namespaceName(g.IntN(2))), Ports: g.in(2)}
	switch g.IntN(3) {
	case 0:
		s.Name = serviceName(g.IntN(3))
	case 1:
		s.Services = g.anySelector("app", "role")
	}
	return s
}

// endpoints lead to pods, nodes and the outside; some to addresses that others
// lead to as well.
func (g *generator) endpoints(n int) *cluster.Endpoints {
	name := cluster.Name{Namespace: namespaceName(n % 2), Name: serviceName(n)}
	var backends []cluster.Backend
	ports := func() (list []cluster.ServedPort) {
		for range max(1, g.IntN(4)) {
			list = append(list, cluster.ServedPort{Protocol: g.protocol(), Number: one(g, portNumbers...)})
		}
		return list
	}
	same := ports()
	for range 2 + g.IntN(6) {
		addrs := dual("203.0.113.5", "2001:db8::5")
		if p, ok := g.anyPod(); ok && !g.in(4) {
			addrs = p.Addrs
		}
		served := same
		if g.in(3) {
			served = ports()
		}
		for _, addr := range addrs {
			backends = append(backends, cluster.Backend{Addr: addr, Ports: served})
		}
	}
	return cluster.NewEndpoints(name, g.labels("app", "role"), backends)
}

// networksAndAccounts are what general policies refer to.
func (g *generator) networksAndAccounts() {
	for n := range 1 + g.IntN(4) {
		g.world.SetEndpoints(g.endpoints(n))
	}
	for n := range g.IntN(5) {
		g.world.SetNetworks(g.networks(n))
	}
	for range g.IntN(6) {
		g.world.SetServiceAccount(g.account())
	}
}

// self is what a rule asks of the pod that it protects.
func (g *generator) self() []policy.Peer {
	if !g.in(6) {
		return nil
	}
	peer := g.generalPeer()
	peer.Services = nil // the model has none here
	return []policy.Peer{peer}
}
