package gen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
)

// CiliumObjects are the policies of a world that has only those which Cilium
// knows, as API objects.
type CiliumObjects struct {
	NetworkPolicies []*networkingv1.NetworkPolicy // without blocks
	Policies        []*cilium.NetworkPolicy
	Clusterwide     []*cilium.ClusterwideNetworkPolicy
	Groups          []*cilium.CIDRGroup
}

// Cilium makes objects of Cilium's API about the cluster of a shape, which ask for
// no content and no services. Nodes by their labels are all that they name, or
// they do not: Cilium does not know nodes' labels by itself, and once it does it
// takes nodes for pods that lack all labels.
func Cilium(r *rand.Rand, s Shape, nodes bool) *CiliumObjects {
	g := &generator{Rand: r, Shape: s, plain: true, onlyNodes: nodes}
	objects := &CiliumObjects{}
	for n := range 1 + g.IntN(s.Policies) {
		switch kind := g.IntN(4); {
		case kind == 0 && !nodes:
			p := NetworkPolicy(g.networkPolicy(n))
			for i := range p.Spec.Ingress {
				p.Spec.Ingress[i].From = withoutBlocks(p.Spec.Ingress[i].From)
			}
			for i := range p.Spec.Egress {
				p.Spec.Egress[i].To = withoutBlocks(p.Spec.Egress[i].To)
			}
			objects.NetworkPolicies = append(objects.NetworkPolicies, p)
		case kind == 1:
			objects.Clusterwide = append(objects.Clusterwide, g.ciliumClusterwide(n))
		default:
			objects.Policies = append(objects.Policies, g.cilium(n))
		}
	}
	for n := range g.IntN(4) {
		objects.Groups = append(objects.Groups, g.ciliumGroup(n))
	}
	return objects
}

// withoutBlocks keeps at least one peer, for none would mean everybody.
func withoutBlocks(peers []networkingv1.NetworkPolicyPeer) []networkingv1.NetworkPolicyPeer {
	for i := range peers {
		if peers[i].IPBlock != nil {
			peers[i] = networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}}
		}
	}
	return peers
}

func (g *generator) ciliumPolicy(n int) *policy.Policy {
	return understood(cilium.Read(g.cilium(n)))[0]
}

func (g *generator) ciliumClusterwidePolicy(n int) *policy.Policy {
	return understood(cilium.ReadClusterwide(g.ciliumClusterwide(n)))[0]
}

func (g *generator) ciliumNetworks(n int) *policy.Networks {
	return understood(cilium.ReadCIDRGroup(g.ciliumGroup(n)))
}

func (g *generator) cilium(n int) *cilium.NetworkPolicy {
	p := &cilium.NetworkPolicy{Spec: g.ciliumRule()}
	p.Namespace, p.Name = namespaceName(g.IntN(g.Namespaces)), fmt.Sprintf("policy-%d", n)
	return p
}

func (g *generator) ciliumClusterwide(n int) *cilium.ClusterwideNetworkPolicy {
	p := &cilium.ClusterwideNetworkPolicy{Spec: g.ciliumRule()}
	p.Name = fmt.Sprintf("policy-%d", n)
	return p
}

func (g *generator) ciliumGroup(n int) *cilium.CIDRGroup {
	c := &cilium.CIDRGroup{Spec: cilium.CIDRGroupSpec{ExternalCIDRs: []string{}}}
	c.Name, c.Labels = networksName(n), g.labels("app", "role")
	for range g.IntN(4) {
		c.Spec.ExternalCIDRs = append(c.Spec.ExternalCIDRs, one(g, blocks...))
	}
	return c
}

func (g *generator) ciliumRule() *cilium.Rule {
	subject := g.ciliumSelector(subjectLabels)
	r := &cilium.Rule{EndpointSelector: &subject}
	for _, d := range []**bool{&r.EnableDefaultDeny.Ingress, &r.EnableDefaultDeny.Egress} {
		if g.in(4) {
			yes := g.in(2)
			*d = &yes
		}
	}
	direction := g.IntN(3)
	for range 1 + g.IntN(3) {
		if direction != 0 {
			r.Ingress = append(r.Ingress, g.ciliumIngress())
		}
		if direction != 1 {
			r.Egress = append(r.Egress, g.ciliumEgress())
		}
		if direction != 0 && g.in(3) {
			from := g.ciliumIngress()
			r.IngressDeny = append(r.IngressDeny, cilium.IngressDenyRule{IngressPeers: from.IngressPeers, ToPorts: denied(from.ToPorts), ICMPs: from.ICMPs})
		}
		if direction != 1 && g.in(3) {
			from := g.ciliumEgress()
			r.EgressDeny = append(r.EgressDeny, cilium.EgressDenyRule{EgressPeers: from.EgressPeers, ToPorts: denied(from.ToPorts), ICMPs: from.ICMPs})
		}
	}
	return r
}

func denied(rules []cilium.PortRule) []cilium.PortDenyRule {
	var denied []cilium.PortDenyRule
	for _, r := range rules {
		denied = append(denied, cilium.PortDenyRule{Ports: r.Ports})
	}
	return denied
}

func (g *generator) ciliumIngress() cilium.IngressRule {
	r := cilium.IngressRule{IngressPeers: cilium.IngressPeers(g.ciliumPeers())}
	r.ToPorts, r.ICMPs = g.ciliumPorts(false)
	return r
}

func (g *generator) ciliumEgress() cilium.EgressRule {
	p := g.ciliumPeers()
	r := cilium.EgressRule{EgressPeers: cilium.EgressPeers{
		ToEndpoints: p.FromEndpoints, ToCIDR: p.FromCIDR, ToCIDRSet: p.FromCIDRSet, ToEntities: p.FromEntities, ToNodes: p.FromNodes,
	}}
	if !g.plain && g.in(6) {
		r.EgressPeers = cilium.EgressPeers{ToServices: g.ciliumServices()}
	}
	r.ToPorts, r.ICMPs = g.ciliumPorts(true)
	if g.Content && g.in(8) {
		r.EgressPeers = cilium.EgressPeers{}
		r.ToFQDNs = []cilium.FQDNSelector{{MatchPattern: one(g, patterns...)}, {MatchName: one(g, domains...)}}
	}
	return r
}

func (g *generator) ciliumServices() []cilium.Service {
	if g.in(2) {
		return []cilium.Service{{K8sService: &cilium.ServiceName{ServiceName: serviceName(g.IntN(3)), Namespace: one(g, "", "ns-0", "ns-1")}}}
	}
	return []cilium.Service{{K8sServiceSelector: &cilium.ServiceSelector{
		Selector: *labelSelector(g.selector("app", "role")), Namespace: one(g, "", "ns-0", "ns-1"),
	}}}
}

// ciliumPeers are one kind of peers, or none.
func (g *generator) ciliumPeers() cilium.IngressPeers {
	var p cilium.IngressPeers
	kind := g.IntN(8)
	switch {
	case g.onlyNodes:
		kind = 5 * min(kind, 1)
	case g.plain && kind == 5:
		kind = 6
	}
	switch kind {
	case 0:
	case 1:
		p.FromCIDR = append([]string{}, one(g, blocks...))
		if g.in(8) {
			p.FromCIDR = []string{} // nobody
		}
	case 2:
		p.FromCIDRSet = []cilium.CIDRRule{g.ciliumBlocks()}
	case 3, 4:
		for range 1 + g.IntN(2) {
			p.FromEntities = append(p.FromEntities, one(g, "all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "remote-node", "none", "health"))
		}
	case 5:
		p.FromNodes = []metav1.LabelSelector{g.ciliumSelector([]string{"zone"})}
	default:
		for range g.IntN(3) {
			p.FromEndpoints = append(p.FromEndpoints, g.ciliumSelector(peerLabels))
		}
		if len(p.FromEndpoints) == 0 {
			p.FromEndpoints = []metav1.LabelSelector{}
		}
	}
	return p
}

func (g *generator) ciliumBlocks() cilium.CIDRRule {
	block := g.block()
	switch g.IntN(3) {
	case 0:
		return cilium.CIDRRule{CIDRGroupRef: networksName(g.IntN(4))}
	case 1:
		s := g.ciliumSelector([]string{"app", "role"})
		for len(s.MatchLabels)+len(s.MatchExpressions) == 0 { // an empty one is everybody to Cilium
			s = g.ciliumSelector([]string{"app", "role"})
		}
		return cilium.CIDRRule{CIDRGroupSelector: &s}
	}
	c := cilium.CIDRRule{CIDR: block.Prefix.String()}
	for _, e := range block.Except {
		c.Except = append(c.Except, e.String())
	}
	return c
}

// Labels that Cilium's selectors ask, with and without their sources.
var (
	subjectLabels = []string{"app", "k8s:role", "any:team", "io.cilium.k8s.policy.serviceaccount", "k8s:io.cilium.k8s.namespace.labels.env", "k8s:io.kubernetes.pod.namespace"}
	peerLabels    = append(subjectLabels, "app", "role", "reserved:host", "reserved:remote-node", "reserved:world-ipv4",
		"k8s:io.kubernetes.pod.namespace", "io.kubernetes.pod.namespace", "io.cilium.k8s.policy.cluster", "io.cilium.k8s.namespace.labels.team", "container:app")
)

func (g *generator) ciliumSelector(keys []string) metav1.LabelSelector {
	var s metav1.LabelSelector
	chosen := []string{one(g, keys...), one(g, keys...)}[:g.IntN(3)]
	reserved := slices.ContainsFunc(chosen, func(key string) bool { return strings.HasPrefix(key, "reserved:") })
	for _, key := range chosen {
		if reserved {
			// Beside such a label, one without a source may be that of a group.
			if key = strings.TrimPrefix(key, "any:"); !strings.Contains(key, ":") {
				key = "k8s:" + key
			}
		}
		if values := g.ciliumValues(key); g.in(2) {
			s.MatchLabels = map[string]string{key: values[0]}
		} else {
			e := metav1.LabelSelectorRequirement{Key: key, Operator: one(g, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn,
				metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
			if strings.HasSuffix(key, ".cluster") { // what is meant for others is not denied to them alone
				e.Operator = one(g, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpExists)
			}
			if e.Operator == metav1.LabelSelectorOpIn || e.Operator == metav1.LabelSelectorOpNotIn {
				e.Values = values
			}
			s.MatchExpressions = append(s.MatchExpressions, e)
		}
	}
	return s
}

// ciliumValues are two that a label may have.
func (g *generator) ciliumValues(key string) []string {
	switch strings.TrimPrefix(key, "k8s:") {
	case "io.kubernetes.pod.namespace":
		return []string{namespaceName(g.IntN(g.Namespaces)), namespaceName(g.IntN(g.Namespaces))}
	case "reserved:host", "reserved:remote-node", "reserved:world-ipv4":
		return []string{"", "a"}
	case "io.cilium.k8s.policy.cluster":
		return []string{"default", "default"}
	case "io.cilium.k8s.policy.serviceaccount":
		return []string{one(g, "default", "a"), "b"}
	}
	return []string{one(g, "a", "b", "c"), one(g, "a", "b", "c")}
}

func (g *generator) ciliumPorts(egress bool) ([]cilium.PortRule, []cilium.ICMPRule) {
	if g.in(8) {
		var fields []cilium.ICMPField
		for range 1 + g.IntN(2) {
			kind := intstr.FromInt32(int32(one(g, icmpTypes[1:]...))) // zero is every type to Cilium
			fields = append(fields, cilium.ICMPField{Family: one(g, "", "IPv4", "IPv6"), Type: &kind})
		}
		return nil, []cilium.ICMPRule{{Fields: fields}}
	}
	var rules []cilium.PortRule
	for range g.IntN(3) {
		var r cilium.PortRule
		for range 1 + g.IntN(2) {
			r.Ports = append(r.Ports, g.ciliumPort())
		}
		if g.Content && g.in(3) {
			r = g.ciliumContent(egress)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func (g *generator) ciliumPort() cilium.PortProtocol {
	p := cilium.PortProtocol{Protocol: one(g, "TCP", "TCP", "UDP", "SCTP", "ANY", "")}
	from := one(g, portNumbers...)
	switch p.Port = fmt.Sprint(from); g.IntN(6) {
	case 0:
		p.Port = one(g, portNames...)
	case 1:
		p.Port = "0"
	case 2:
		p.EndPort = int32(one(g, portNumbers...))
	}
	return p
}

// ciliumContent is ports on which requests or queries are looked at.
func (g *generator) ciliumContent(egress bool) cilium.PortRule {
	r := cilium.PortRule{Ports: []cilium.PortProtocol{{Port: fmt.Sprint(one(g, portNumbers...)), Protocol: "TCP"}}}
	if egress && g.in(2) {
		r.Ports[0].Protocol = one(g, "TCP", "UDP", "ANY")
		r.Rules = &cilium.L7Rules{DNS: []cilium.FQDNSelector{{MatchPattern: one(g, patterns...)}}}
		return r
	}
	r.Rules = &cilium.L7Rules{HTTP: []cilium.HTTPRule{{Method: one(g, append(methods, "")...), Path: one(g, append(paths, "", "/a.*")...)}}}
	return r
}
