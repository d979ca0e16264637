package gen

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico"
)

// Labels that Calico's selectors ask, in the places where they can.
var (
	endpointKeys  = []string{"app", "role", "team", "projectcalico.org/namespace", "pcns.env", "projectcalico.org/serviceaccount", "pcsa.team"}
	namespaceKeys = []string{"env", "team", "projectcalico.org/name"}
	accountKeys   = []string{"team"}
)

func (g *generator) calicoPolicy(n int) *policy.Policy {
	p := &calico.NetworkPolicy{Spec: g.calicoSpec()}
	p.Namespace, p.Name = namespaceName(g.IntN(g.Namespaces)), fmt.Sprintf("policy-%d", n)
	return understood(calico.Read(p))
}

func (g *generator) calicoGlobalPolicy(n int) *policy.Policy {
	p := &calico.GlobalNetworkPolicy{Spec: calico.GlobalNetworkPolicySpec{NetworkPolicySpec: g.calicoSpec()}}
	p.Name = fmt.Sprintf("policy-%d", n)
	if g.in(2) {
		p.Spec.NamespaceSelector = g.expression(1, namespaceKeys)
	}
	for _, rules := range [][]calico.Rule{p.Spec.Ingress, p.Spec.Egress} {
		for i := range rules {
			for _, s := range []*calico.ServiceMatch{rules[i].Source.Services, rules[i].Destination.Services} {
				if s != nil {
					s.Namespace = namespaceName(g.IntN(2))
				}
			}
		}
	}
	return understood(calico.ReadGlobal(p))
}

func (g *generator) calicoSpec() calico.NetworkPolicySpec {
	var spec calico.NetworkPolicySpec
	if order := one(g, 1.0, 5, 1000, 1000); !g.in(4) {
		spec.Order = &order
	}
	spec.Tier = "default"
	if t := one(g, slices.Sorted(maps.Keys(g.world.Set.Tiers))...); strings.HasPrefix(t, "tier-") {
		spec.Tier = t
	}
	spec.Selector = one(g, "", "all()", g.expression(2, endpointKeys), g.expression(2, endpointKeys))
	if g.in(8) {
		spec.ServiceAccountSelector = g.expression(1, accountKeys)
	}
	direction := g.IntN(3)
	if direction != 0 {
		spec.Types = append(spec.Types, "Ingress")
	}
	if direction != 1 {
		spec.Types = append(spec.Types, "Egress")
	}
	for range g.IntN(4) {
		spec.Ingress = append(spec.Ingress, g.calicoRule(true))
		spec.Egress = append(spec.Egress, g.calicoRule(false))
	}
	return spec
}

func (g *generator) calicoRule(ingress bool) calico.Rule {
	r := calico.Rule{Action: one(g, "Allow", "Allow", "Allow", "Deny", "Pass", "Log")}
	family := one(g, 0, 0, 4, 6) // of its blocks; zero: it has none
	if family != 0 && g.in(3) {
		r.IPVersion = &family
	}
	r.Source, r.Destination = g.entity(family), g.entity(family)
	own, other := &r.Source, &r.Destination
	if ingress {
		own, other = other, own
	}
	if !g.in(6) {
		*own = calico.EntityRule{}
	}
	if g.in(6) {
		*other = calico.EntityRule{Services: &calico.ServiceMatch{Name: serviceName(g.IntN(3)), Namespace: one(g, "", "ns-0", "ns-1")}}
	}
	g.calicoProtocol(&r, family)
	return r
}

func (g *generator) calicoProtocol(r *calico.Rule, family int) {
	name := func(p string) *intstr.IntOrString { v := intstr.FromString(p); return &v }
	switch g.IntN(8) {
	case 0, 1:
		if g.in(3) {
			r.NotProtocol = name(one(g, "TCP", "UDP", "SCTP"))
		}
	case 2:
		r.Protocol, r.ICMP = name("ICMP"), g.calicoICMP()
		if family == 6 {
			r.Protocol = name("ICMPv6")
		}
		if g.in(3) {
			r.NotICMP = g.calicoICMP()
		}
	default:
		r.Protocol = name(g.protocol().String())
		if r.Destination.Services != nil {
			return
		}
		if !g.in(4) {
			r.Destination.Ports = g.calicoPorts()
		}
		if g.in(5) {
			r.Destination.NotPorts = g.calicoPorts()
		}
	}
}

func (g *generator) calicoICMP() *calico.ICMPFields {
	kind, code := min(254, int(one(g, icmpTypes...))), g.IntN(2) // 255 is not for users
	f := &calico.ICMPFields{Type: &kind}
	if g.in(2) {
		f.Code = &code
	}
	return one(g, nil, f, f)
}

func (g *generator) calicoPorts() []intstr.IntOrString {
	var ports []intstr.IntOrString
	for range 1 + g.IntN(3) {
		from, to := one(g, portNumbers...), one(g, portNumbers...)
		switch g.IntN(4) {
		case 0:
			ports = append(ports, intstr.FromString(one(g, portNames...)))
		case 1:
			ports = append(ports, intstr.FromString(fmt.Sprintf("%d:%d", min(from, to), max(from, to))))
		default:
			ports = append(ports, intstr.FromInt32(int32(from)))
		}
	}
	return ports
}

// entity is what a rule asks of one end; with a family, of blocks as well.
func (g *generator) entity(family int) calico.EntityRule {
	var e calico.EntityRule
	if g.in(2) {
		e.Selector = g.expression(2, endpointKeys)
	}
	if g.in(4) {
		e.NamespaceSelector = one(g, "global()", "all()", g.expression(1, namespaceKeys), g.expression(1, namespaceKeys))
	}
	if g.in(6) {
		e.NotSelector = g.expression(1, endpointKeys)
	}
	if g.in(8) {
		e.ServiceAccounts = &calico.ServiceAccountMatch{Names: []string{one(g, "a", "b")}, Selector: one(g, "", g.expression(1, accountKeys))}
	}
	if family != 0 && !g.in(3) {
		e.Nets = g.nets(family)
	}
	if family != 0 && g.in(3) {
		e.NotNets = g.nets(family)
	}
	return e
}

// nets are different blocks of one family.
func (g *generator) nets(family int) []string {
	var nets []string
	for range 1 + g.IntN(3) {
		block := one(g, blocks...)
		if netip.MustParsePrefix(block).Addr().Is4() == (family == 4) && !slices.Contains(nets, block) {
			nets = append(nets, block)
		}
	}
	return nets
}

// calicoNetworks is a set of networks, or a host with the addresses that it
// expects.
func (g *generator) calicoNetworks(n int) *policy.Networks {
	if g.in(4) {
		h := &calico.HostEndpoint{Spec: calico.HostEndpointSpec{Node: "node-0", InterfaceName: "*", ExpectedIPs: []string{"192.168.0.1", "fd01::1"}}}
		h.Name, h.Labels = networksName(n), g.labels("app", "role")
		return understood(calico.ReadHostEndpoint(h))
	}
	nets := append(g.nets(4), g.nets(6)...)
	if g.in(2) {
		s := &calico.GlobalNetworkSet{Spec: calico.NetworkSetSpec{Nets: nets}}
		s.Name, s.Labels = networksName(n), g.labels("app", "role")
		return understood(calico.ReadGlobalNetworkSet(s))
	}
	s := &calico.NetworkSet{Spec: calico.NetworkSetSpec{Nets: nets}}
	s.Namespace, s.Name, s.Labels = namespaceName(g.IntN(g.Namespaces)), networksName(n), g.labels("app", "role")
	return understood(calico.ReadNetworkSet(s))
}
