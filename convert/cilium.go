package convert

import (
	"fmt"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

const ciliumAPI = "cilium.io/v2"

// cilium writes a CiliumNetworkPolicy or CiliumClusterwideNetworkPolicy: what
// isolates and allows, as Cilium's policies do, or what only denies and is asked
// before all that allow.
func (c *converter) cilium(p *policy.Policy) {
	s := c.subject(p)
	if s == nil {
		return
	}
	if len(s.accounts) > 0 {
		c.lose(c.subjectField(), "labels of service accounts have no counterpart")
	}
	spec := &cilium.Rule{EndpointSelector: c.ciliumSelector(s, p.Subject.Namespace)}
	denies := p.Tier != policy.NetworkPolicyTier.Name
	if denies {
		c.onlyDenies(p)
		no := false
		spec.EnableDefaultDeny = cilium.DefaultDeny{Ingress: &no, Egress: &no}
	} else {
		c.additive(p)
	}
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		if rules := p.In(d); rules != nil {
			c.ciliumDirection(spec, d, rules, denies)
		}
	}
	if len(spec.Ingress)+len(spec.Egress)+len(spec.IngressDeny)+len(spec.EgressDeny) == 0 {
		return
	}
	c.addCilium(p, spec)
}

func (c *converter) addCilium(p *policy.Policy, spec *cilium.Rule) {
	if p.Subject.Namespace != "" {
		object := &cilium.NetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: ciliumAPI, Kind: cilium.Kind}, Spec: spec}
		object.Namespace, object.Name = p.Subject.Namespace, c.name(p)
		c.add(object)
		return
	}
	object := &cilium.ClusterwideNetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: ciliumAPI, Kind: cilium.ClusterwideKind}, Spec: spec}
	object.Name = c.name(p)
	c.add(object)
}

// onlyDenies: of the tiers before NetworkPolicies, Cilium knows denials alone.
func (c *converter) onlyDenies(p *policy.Policy) {
	if c.side(p.Tier) == "after" {
		c.lose(c.spec()+".tier", "there are no tiers after NetworkPolicies")
		return
	}
	c.endless(p)
	for _, o := range c.sorted() {
		if c.side(o.Tier) == "after" || o.Tier == policy.NetworkPolicyTier.Name {
			break
		}
		c.allowsNothing(o)
	}
}

// allowsNothing: an allow, or a pass that skips something, would have to be asked
// before the denials.
func (c *converter) allowsNothing(o *policy.Policy) {
	was := c.from
	c.from = o
	defer func() { c.from = was }()
	c.eachRule(func(d traffic.Direction, n int, r *policy.Rule) {
		last := n == len(o.In(d).Rules)-1 && r.AnyPeer && r.AnyPort && c.lastOfTier(d)
		if r.Action != policy.Deny && !(r.Action == policy.Pass && last) {
			c.lose(c.actionField(d, n), "%s before NetworkPolicies has no counterpart: only denials come before all others", r.Action)
		}
	})
}

func (c *converter) ciliumDirection(spec *cilium.Rule, d traffic.Direction, rules *policy.Rules, denies bool) {
	written := 0
	for n := range rules.Rules {
		r := &rules.Rules[n]
		if denies != (r.Action == policy.Deny) {
			continue // a loss already, or a pass at the end
		}
		ports, any, ok := c.ciliumPorts(r, d, n)
		if !ok {
			continue
		}
		for _, ends := range c.ciliumEnds(r, d, n) {
			written++
			c.ciliumRule(spec, d, ends, ports, any, denies)
		}
	}
	switch {
	case denies || written > 0:
	case d == traffic.Ingress:
		spec.Ingress = []cilium.IngressRule{{}} // isolates, and allows nothing
	default:
		spec.Egress = []cilium.EgressRule{{}}
	}
}

// ends are peers of one kind, which is all that Cilium takes in a rule.
type ends struct {
	endpoints []metav1.LabelSelector
	blocks    []cilium.CIDRRule
	entities  []string
	services  []cilium.Service
}

func (c *converter) ciliumRule(spec *cilium.Rule, d traffic.Direction, e ends, ports []cilium.PortProtocol, any, denies bool) {
	from := cilium.IngressPeers{FromEndpoints: e.endpoints, FromCIDRSet: e.blocks, FromEntities: e.entities}
	to := cilium.EgressPeers{ToEndpoints: e.endpoints, ToCIDRSet: e.blocks, ToEntities: e.entities, ToServices: e.services}
	var allow []cilium.PortRule
	var deny []cilium.PortDenyRule
	if !any {
		allow, deny = []cilium.PortRule{{Ports: ports}}, []cilium.PortDenyRule{{Ports: ports}}
	}
	switch {
	case d == traffic.Ingress && denies:
		spec.IngressDeny = append(spec.IngressDeny, cilium.IngressDenyRule{IngressPeers: from, ToPorts: deny})
	case d == traffic.Ingress:
		spec.Ingress = append(spec.Ingress, cilium.IngressRule{IngressPeers: from, ToPorts: allow})
	case denies:
		spec.EgressDeny = append(spec.EgressDeny, cilium.EgressDenyRule{EgressPeers: to, ToPorts: deny})
	default:
		spec.Egress = append(spec.Egress, cilium.EgressRule{EgressPeers: to, ToPorts: allow})
	}
}

func (c *converter) ciliumEnds(r *policy.Rule, d traffic.Direction, n int) []ends {
	if r.AnyPeer {
		return []ends{{entities: []string{"all"}}}
	}
	field := c.peersField(d, n)
	peers, _ := c.peers(r, field)
	var pods, blocks, entities, services ends
	if c.wholeCluster(peers) {
		entities.entities = append(entities.entities, "cluster")
		for i := range peers {
			peers[i].world = peers[i].world || isWhole(&peers[i])
		}
	}
	for _, p := range peers {
		switch {
		case p.family.IsValid():
			c.lose(field, "pods of one address family have no counterpart")
		case p.nodes != nil:
			entities.entities = append(entities.entities, c.ciliumNodes(p.nodes, field)...)
		case p.services != nil:
			services.services = append(services.services, c.ciliumService(p.services, d, field)...)
		case p.who != nil && len(p.who.accounts) > 0:
			c.lose(field, "labels of service accounts have no counterpart")
		case p.who != nil:
			pods.endpoints = append(pods.endpoints, *c.ciliumSelector(p.who, c.from.Subject.Namespace))
		case p.world && p.block == nil && len(p.not) == 0:
			entities.entities = append(entities.entities, "world")
		default:
			blocks.blocks = append(blocks.blocks, c.ciliumBlock(&p, field)...)
		}
	}
	return slices.DeleteFunc([]ends{pods, blocks, entities, services}, func(e ends) bool {
		return len(e.endpoints)+len(e.blocks)+len(e.entities)+len(e.services) == 0
	})
}

// isWhole: the peer is all addresses of a family but for some.
func isWhole(p *peer) bool { return p.block != nil && p.block.Prefix.Bits() == 0 }

// wholeCluster tells whether blocks hold all pods and nodes: they are all
// addresses, of both families or of the cluster's only one, but for some that are
// outside.
func (c *converter) wholeCluster(peers []peer) bool {
	found := map[bool]bool{} // by Is4
	for _, p := range peers {
		if !isWhole(&p) || p.world {
			continue
		}
		b, _ := p.exact()
		if !slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return !c.clear(policy.CIDR{Prefix: e}) }) {
			found[b.Prefix.Addr().Is4()] = true
		}
	}
	four, six := c.families()
	switch {
	case found[true] && found[false]:
		return true
	case found[true] && four && !six, found[false] && six && !four:
		c.note("%s %s: this cluster has one address family, of which blocks hold everybody", c.from.Kind, c.from.Ref)
		return true
	}
	return false
}

// families are those that the cluster's nodes have.
func (c *converter) families() (four, six bool) {
	for _, n := range c.snapshot.Nodes {
		for _, a := range n.Addrs {
			four, six = four || a.Is4(), six || a.Is6()
		}
	}
	return four, six
}

// ciliumBlock: blocks mean only what is outside the cluster.
func (c *converter) ciliumBlock(p *peer, field string) []cilium.CIDRRule {
	b, ok := p.exact()
	switch {
	case !ok:
		c.lose(field, "what is outside the cluster but for some blocks has no counterpart: name blocks")
		return nil
	case empty(b):
		return nil
	case !p.world && !c.noteClear(b, field):
		c.lose(field, "%s means pods and nodes too, Cilium's blocks do not: name them apart", b.Prefix)
		return nil
	}
	rule := cilium.CIDRRule{CIDR: b.Prefix.String()}
	for _, e := range b.Except {
		rule.Except = append(rule.Except, e.String())
	}
	return []cilium.CIDRRule{rule}
}

func (c *converter) ciliumNodes(s *policy.NodeSelector, field string) []string {
	if s.Nodes != nil {
		c.lose(field, "nodes by their labels have no counterpart that means the pod's own node too")
		return nil
	}
	return map[policy.Which][]string{policy.AnyNode: {"host", "remote-node"}, policy.OwnNode: {"host"}, policy.OtherNode: {"remote-node"}}[s.Which]
}

func (c *converter) ciliumService(s *policy.ServiceSelector, d traffic.Direction, field string) []cilium.Service {
	if s.Name == "" || s.Services != nil || s.Ports || d == traffic.Ingress {
		c.lose(field, "services have a counterpart only for egress, by name, and at all ports")
		return nil
	}
	return []cilium.Service{{K8sService: &cilium.ServiceName{ServiceName: s.Name, Namespace: s.Namespace}}}
}

// The keys under which Cilium has what is no label of the pod itself.
const (
	ciliumNamespace  = "k8s:io.kubernetes.pod.namespace"
	ciliumNamespaces = "k8s:io.cilium.k8s.namespace.labels."
	ciliumAccount    = "k8s:io.cilium.k8s.policy.serviceaccount"
)

// ciliumSelector means pods, of the policy's namespace unless it says which.
func (c *converter) ciliumSelector(w *who, own string) *metav1.LabelSelector {
	var list []term
	for _, t := range w.pods {
		list = append(list, term{"k8s:" + t.key, t.op, t.values})
	}
	for _, t := range w.namespaces {
		key := ciliumNamespaces + t.key
		if t.key == cluster.NamespaceNameLabel {
			key = ciliumNamespace
		}
		list = append(list, term{key, t.op, t.values})
	}
	for _, t := range w.accountNames {
		list = append(list, term{ciliumAccount, t.op, t.values})
	}
	switch {
	case w.namespace != "" && w.namespace != own:
		list = append(list, term{ciliumNamespace, metav1.LabelSelectorOpIn, []string{w.namespace}})
	case own != "" && w.everyNamespace():
		list = append(list, term{ciliumNamespace, metav1.LabelSelectorOpExists, nil})
	}
	return labelSelector(list)
}

// mostCiliumPorts is how many ports Cilium takes in a rule.
const mostCiliumPorts = 40

func (c *converter) ciliumPorts(r *policy.Rule, d traffic.Direction, n int) (list []cilium.PortProtocol, any, ok bool) {
	ports, any, ok := c.portsOf(r, c.portsField(d, n))
	if !ok || !any && len(ports) == 0 {
		return nil, false, false
	}
	if len(ports) > mostCiliumPorts {
		return nil, false, c.lose(c.portsField(d, n), "more than %d ports have no counterpart in one rule: split it", mostCiliumPorts)
	}
	for _, p := range ports {
		port := cilium.PortProtocol{Port: fmt.Sprint(p.From), Protocol: p.Protocol.String()}
		switch {
		case p.Name != "":
			port.Port = p.Name
		case p.From != p.To:
			port.EndPort = int32(p.To)
		}
		list = append(list, port)
	}
	return list, any, true
}
