package convert

import (
	"math"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/clusternp"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// The API's limits.
const (
	mostRules    = 25   // of a direction
	lastPriority = 1000 // of a tier
)

// clusterNetwork writes a ClusterNetworkPolicy: ordered rules in a tier before or
// after NetworkPolicies, without isolation.
func (c *converter) clusterNetwork(p *policy.Policy) {
	s := c.subject(p)
	if s == nil {
		return
	}
	c.account(s, c.subjectField())
	object := &v1alpha2.ClusterNetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: "policy.networking.k8s.io/v1alpha2", Kind: clusternp.Kind}}
	object.Name = c.clusterName(p)
	object.Spec.Subject.Namespaces, object.Spec.Subject.Pods = clusterPods(s)
	if p.Tier == policy.NetworkPolicyTier.Name {
		c.isolation(p, object)
	} else {
		object.Spec.Tier, object.Spec.Priority = c.clusterTier(p), c.clusterPriority(p)
		c.endless(p)
	}
	c.eachRule(func(d traffic.Direction, n int, r *policy.Rule) { c.clusterRule(object, d, n, r) })
	if len(object.Spec.Ingress) > mostRules || len(object.Spec.Egress) > mostRules {
		c.lose(c.spec(), "more than %d rules of a direction have no counterpart in one policy: split it", mostRules)
	}
	if len(object.Spec.Ingress)+len(object.Spec.Egress) > 0 {
		c.add(object)
	}
}

// clusterName has the namespace in it, for the policies have none.
func (c *converter) clusterName(p *policy.Policy) string {
	if p.Ref.Namespace != "" {
		return p.Ref.Namespace + "-" + c.name(p)
	}
	return c.name(p)
}

// isolation: what isolates is written into the Baseline tier, as what it allows and
// then, after that of all others, a rule that denies the rest. That can be said of
// egress only, for a rule's sources are pods.
func (c *converter) isolation(p *policy.Policy, object *v1alpha2.ClusterNetworkPolicy) {
	c.additive(p)
	object.Spec.Tier = v1alpha2.BaselineTier
	if p.Ingress != nil {
		c.lose(c.spec()+".ingress", "isolation for ingress has no counterpart: sources that are no pods cannot be denied")
	}
	for _, o := range c.set.Sorted() {
		if o.Tier != policy.NetworkPolicyTier.Name && c.side(o.Tier) == "after" {
			c.lose(c.spec(), "isolation goes to the Baseline tier, where %s is asked as well", o.Ref)
		}
	}
	if p.Egress == nil {
		return
	}
	deny := &v1alpha2.ClusterNetworkPolicy{TypeMeta: object.TypeMeta, Spec: *object.Spec.DeepCopy()}
	deny.Name, deny.Spec.Priority = object.Name+"-isolation", lastPriority
	deny.Spec.Egress = []v1alpha2.ClusterNetworkPolicyEgressRule{{
		Action: v1alpha2.ClusterNetworkPolicyRuleActionDeny, To: []v1alpha2.ClusterNetworkPolicyEgressPeer{everybody()},
	}}
	c.add(deny)
}

// endless: a tier of Calico's that isolates denies at its end.
func (c *converter) endless(p *policy.Policy) {
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		rules := p.In(d)
		if rules == nil || !rules.Isolates || c.set.Tiers[p.Tier].End == policy.Pass {
			continue
		}
		if last := len(rules.Rules) - 1; last < 0 || !rules.Rules[last].AnyPeer || !rules.Rules[last].AnyPort {
			c.lose(c.spec()+"."+d.String(), "the end of tier %s denies, which has no counterpart: end with a rule for everybody, or give the tier defaultAction Pass", p.Tier)
		}
	}
}

func (c *converter) clusterTier(p *policy.Policy) v1alpha2.Tier {
	if p.Dialect != policy.ClusterNetwork {
		others := 0
		for _, o := range c.set.Policies {
			if o.Tier != p.Tier && o.Tier != policy.NetworkPolicyTier.Name && c.side(o.Tier) == c.side(p.Tier) {
				others++
			}
		}
		if others > 0 {
			c.lose(c.spec()+".tier", "there is one tier %s NetworkPolicies, and other policies are in another there", c.side(p.Tier))
		}
	}
	if c.side(p.Tier) == "before" {
		return v1alpha2.AdminTier
	}
	return v1alpha2.BaselineTier
}

// clusterPriority is the policy's order, or its place where that is no priority.
func (c *converter) clusterPriority(p *policy.Policy) int32 {
	fits, place, found := true, 0, 0
	for _, o := range c.set.Sorted() {
		if o.Tier != p.Tier {
			continue
		}
		fits = fits && o.Order >= 0 && o.Order <= lastPriority && o.Order == math.Trunc(o.Order)
		if o.Ref == p.Ref {
			place = found
		}
		found++
	}
	if fits {
		return int32(p.Order)
	}
	if found > lastPriority {
		c.lose(c.spec()+".order", "more than %d policies of a tier have no counterpart", lastPriority)
	}
	return int32(min(place, lastPriority))
}

func clusterPods(w *who) (*metav1.LabelSelector, *v1alpha2.NamespacedPod) {
	namespaces := labelSelector(w.withName())
	if len(w.pods) == 0 {
		return namespaces, nil
	}
	return nil, &v1alpha2.NamespacedPod{NamespaceSelector: *namespaces, PodSelector: *labelSelector(w.pods)}
}

func everybody() v1alpha2.ClusterNetworkPolicyEgressPeer {
	return v1alpha2.ClusterNetworkPolicyEgressPeer{Networks: []v1alpha2.CIDR{"0.0.0.0/0", "::/0"}}
}

var clusterActions = map[policy.Action]v1alpha2.ClusterNetworkPolicyRuleAction{
	policy.Allow: v1alpha2.ClusterNetworkPolicyRuleActionAccept, policy.Deny: v1alpha2.ClusterNetworkPolicyRuleActionDeny,
	policy.Pass: v1alpha2.ClusterNetworkPolicyRuleActionPass,
}

func (c *converter) clusterRule(object *v1alpha2.ClusterNetworkPolicy, d traffic.Direction, n int, r *policy.Rule) {
	action, known := clusterActions[r.Action]
	if !known {
		c.lose(c.actionField(d, n), "%s has no counterpart", r.Action)
		return
	}
	rules := c.from.In(d).Rules
	if r.Action == policy.Pass && r.AnyPeer && r.AnyPort && n == len(rules)-1 && c.lastOfTier(d) {
		return // what no rule decides goes on anyway
	}
	ports, ok := c.clusterPorts(r, d, n)
	if !ok {
		return
	}
	if r.AnyPeer && d == traffic.Egress {
		object.Spec.Egress = append(object.Spec.Egress, v1alpha2.ClusterNetworkPolicyEgressRule{
			Action: action, To: []v1alpha2.ClusterNetworkPolicyEgressPeer{everybody()}, Protocols: ports,
		})
		return
	}
	if r.AnyPeer {
		c.lose(c.ruleField(d, n), "a rule for everybody has no counterpart in ingress: sources are pods")
		return
	}
	peers, _ := c.peers(r, c.peersField(d, n))
	var to []v1alpha2.ClusterNetworkPolicyEgressPeer
	for _, p := range peers {
		if q, said := c.clusterPeer(&p, d, c.peersField(d, n)); said {
			to = append(to, spread(q)...)
		}
	}
	switch {
	case len(to) == 0:
	case len(to) > mostRules:
		c.lose(c.peersField(d, n), "more than %d peers have no counterpart in one rule: split it", mostRules)
	case d == traffic.Egress:
		object.Spec.Egress = append(object.Spec.Egress, v1alpha2.ClusterNetworkPolicyEgressRule{Action: action, To: to, Protocols: ports})
	default:
		rule := v1alpha2.ClusterNetworkPolicyIngressRule{Action: action, Protocols: ports}
		for _, p := range to {
			rule.From = append(rule.From, v1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: p.Namespaces, Pods: p.Pods})
		}
		object.Spec.Ingress = append(object.Spec.Ingress, rule)
	}
}

// lastOfTier tells whether no policy of the tier comes after the one in hand, so
// that a Pass skips nothing.
func (c *converter) lastOfTier(d traffic.Direction) bool {
	after := false
	for _, o := range c.set.Sorted() {
		if after && o.Tier == c.from.Tier && o.In(d) != nil {
			return false
		}
		after = after || o.Ref == c.from.Ref
	}
	return true
}

func (c *converter) clusterPeer(p *peer, d traffic.Direction, field string) (q v1alpha2.ClusterNetworkPolicyEgressPeer, ok bool) {
	switch {
	case p.family.IsValid():
		return q, c.lose(field, "pods of one address family have no counterpart")
	case p.services != nil:
		return q, c.lose(field, "services have no counterpart")
	case p.who != nil:
		q.Namespaces, q.Pods = clusterPods(p.who)
		return q, c.account(p.who, field)
	case d == traffic.Ingress:
		return q, c.lose(field, "sources that are no pods have no counterpart")
	case p.nodes != nil:
		return c.clusterNodes(p.nodes, field)
	}
	b, ok := c.asAddress(p, field)
	if !ok || empty(b) {
		return q, false
	}
	for _, left := range subtract(b) {
		q.Networks = append(q.Networks, v1alpha2.CIDR(left.String()))
	}
	return q, true
}

// spread makes peers with as many blocks as the API takes.
func spread(q v1alpha2.ClusterNetworkPolicyEgressPeer) []v1alpha2.ClusterNetworkPolicyEgressPeer {
	if len(q.Networks) <= mostRules {
		return []v1alpha2.ClusterNetworkPolicyEgressPeer{q}
	}
	var peers []v1alpha2.ClusterNetworkPolicyEgressPeer
	for part := range slices.Chunk(q.Networks, mostRules) {
		peers = append(peers, v1alpha2.ClusterNetworkPolicyEgressPeer{Networks: part})
	}
	return peers
}

func (c *converter) clusterNodes(s *policy.NodeSelector, field string) (q v1alpha2.ClusterNetworkPolicyEgressPeer, ok bool) {
	list, sayable := terms(s.Nodes)
	if !sayable || s.Which != policy.AnyNode {
		return q, c.lose(field, "the pod's own node, and the others, are not told apart")
	}
	q.Nodes = labelSelector(list)
	return q, true
}

// subtract is a block without its exceptions, as blocks.
func subtract(b policy.CIDR) []netip.Prefix {
	left := []netip.Prefix{b.Prefix}
	for _, cut := range b.Except {
		var next []netip.Prefix
		for _, p := range left {
			next = append(next, without(p, cut)...)
		}
		left = next
	}
	return left
}

func without(p, cut netip.Prefix) []netip.Prefix {
	switch {
	case !p.Overlaps(cut):
		return []netip.Prefix{p}
	case cut.Bits() <= p.Bits():
		return nil
	}
	low, high := halves(p)
	return append(without(low, cut), without(high, cut)...)
}

func halves(p netip.Prefix) (low, high netip.Prefix) {
	low = netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	addr, _ := netip.AddrFromSlice(bytes) // has a length of one of the families
	return low, netip.PrefixFrom(addr, p.Bits()+1)
}

func (c *converter) clusterPorts(r *policy.Rule, d traffic.Direction, n int) ([]v1alpha2.ClusterNetworkPolicyProtocol, bool) {
	field := c.portsField(d, n)
	ports, any, ok := c.portsOf(r, field)
	if !ok || !any && len(ports) == 0 {
		return nil, false
	}
	var list []v1alpha2.ClusterNetworkPolicyProtocol
	for _, p := range r.Ports {
		if any || p.Name != "" && p.Protocol == traffic.AnyProtocol {
			continue
		}
		if p.Name != "" {
			return nil, c.lose(field, "a port's name of one protocol has no counterpart: it stands for all")
		}
	}
	for _, p := range ports {
		if p.Name == "" {
			list = append(list, clusterPort(p))
		}
	}
	for _, p := range r.Ports {
		if !any && p.Name != "" {
			list = append(list, v1alpha2.ClusterNetworkPolicyProtocol{DestinationNamedPort: p.Name})
		}
	}
	if len(list) > mostRules {
		return nil, c.lose(field, "more than %d ports have no counterpart in one rule: split it", mostRules)
	}
	return list, true
}

func clusterPort(p policy.Port) v1alpha2.ClusterNetworkPolicyProtocol {
	port := &v1alpha2.Port{Number: int32(p.From)}
	switch {
	case p.From == 0 && p.To == 0:
		port = &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: 1, End: 65535}}
	case p.From != p.To:
		port = &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: int32(p.From), End: int32(p.To)}}
	}
	switch p.Protocol {
	case traffic.UDP:
		return v1alpha2.ClusterNetworkPolicyProtocol{UDP: &v1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}}
	case traffic.SCTP:
		return v1alpha2.ClusterNetworkPolicyProtocol{SCTP: &v1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}}
	}
	return v1alpha2.ClusterNetworkPolicyProtocol{TCP: &v1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}}
}
