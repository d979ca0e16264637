package convert

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// kubernetes writes a NetworkPolicy: additive rules for pods of one namespace.
func (c *converter) kubernetes(p *policy.Policy) {
	c.additive(p)
	object := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: k8s.Kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Subject.Namespace, Name: c.name(p)},
	}
	s := c.subject(p)
	if s == nil {
		return
	}
	if s.namespace == "" || len(s.namespaces) > 0 {
		c.lose(c.subjectField(), "a NetworkPolicy is for one namespace: write one for each, namespaces to come included")
	}
	c.account(s, c.subjectField())
	object.Spec.PodSelector = *labelSelector(s.pods)
	if p.Ingress != nil {
		object.Spec.PolicyTypes = append(object.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	}
	if p.Egress != nil {
		object.Spec.PolicyTypes = append(object.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
	c.eachRule(func(d traffic.Direction, n int, r *policy.Rule) {
		peers, ports, ok := c.kubernetesRule(d, n, r)
		switch {
		case !ok:
		case d == traffic.Ingress:
			object.Spec.Ingress = append(object.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
		default:
			object.Spec.Egress = append(object.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
		}
	})
	c.add(object)
}

// additive: only isolation and what it does not hold for can be said.
func (c *converter) additive(p *policy.Policy) {
	if p.Tier != policy.NetworkPolicyTier.Name {
		c.lose(c.spec()+".tier", "there are no tiers: tier %s is asked %s NetworkPolicies", p.Tier, c.side(p.Tier))
	}
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		if rules := p.In(d); rules != nil && !rules.Isolates && p.Tier == policy.NetworkPolicyTier.Name {
			c.lose(c.spec()+".enableDefaultDeny."+d.String(), "a policy that does not isolate has no counterpart")
		}
	}
	c.eachRule(func(d traffic.Direction, n int, r *policy.Rule) {
		if r.Action != policy.Allow {
			c.lose(c.actionField(d, n), "%s has no counterpart: NetworkPolicies only allow", r.Action)
		}
	})
}

func (c *converter) side(tier string) string {
	if c.set.Tiers[tier].Order < policy.NetworkPolicyTier.Order {
		return "before"
	}
	return "after"
}

// name is that of the policy; those of one object get a number each, and what is
// split off says so.
func (c *converter) name(p *policy.Policy) string {
	if p.Tier == denyTier.Name {
		whole := *p
		whole.Tier = policy.NetworkPolicyTier.Name
		return c.name(&whole) + "-deny"
	}
	if p.Part == "" {
		return p.Ref.Name
	}
	number := ""
	for _, r := range p.Part {
		if r >= '0' && r <= '9' {
			number += string(r)
		}
	}
	return p.Ref.Name + "-" + number
}

// subject is what the policy protects; nil: nobody. What cannot be said of it is
// lost, and the rest goes on for what may be lost there.
func (c *converter) subject(p *policy.Policy) *who {
	w := whoOf(p.Subject)
	switch {
	case w.notSayable:
		c.lose(c.subjectField(), "%s: make a policy of each alternative", w.reason)
	case w.nobody:
		c.note("%s %s protects no pods, and is left out", p.Kind, p.Ref)
		return nil
	}
	return &w
}

// account names service accounts where there is no counterpart.
func (c *converter) account(w *who, field string) bool {
	if len(w.accounts)+len(w.accountNames) == 0 {
		return true
	}
	return c.lose(field, "service accounts have no counterpart")
}

// kubernetesRule is not ok for a rule that says nothing, or something that has no
// counterpart.
func (c *converter) kubernetesRule(d traffic.Direction, n int, r *policy.Rule) ([]networkingv1.NetworkPolicyPeer, []networkingv1.NetworkPolicyPort, bool) {
	ports, any, ok := c.portsOf(r, c.portsField(d, n))
	if !ok || !any && len(ports) == 0 {
		return nil, nil, false
	}
	var written []networkingv1.NetworkPolicyPort
	for _, p := range ports {
		written = append(written, kubernetesPort(p))
	}
	if r.AnyPeer {
		return nil, written, true
	}
	peers, ok := c.peers(r, c.peersField(d, n))
	var list []networkingv1.NetworkPolicyPeer
	for _, p := range peers {
		if q, said := c.kubernetesPeer(&p, c.peersField(d, n)); said {
			list = append(list, q...)
		}
	}
	return list, written, ok && len(list) > 0
}

func kubernetesPort(p policy.Port) networkingv1.NetworkPolicyPort {
	protocol := corev1.Protocol(p.Protocol.String())
	port := networkingv1.NetworkPolicyPort{Protocol: &protocol}
	switch {
	case p.Name != "":
		name := intstr.FromString(p.Name)
		port.Port = &name
	case p.From > 0:
		from, to := intstr.FromInt32(int32(p.From)), int32(p.To)
		if port.Port = &from; p.To != p.From {
			port.EndPort = &to
		}
	}
	return port
}

func (c *converter) kubernetesPeer(p *peer, field string) ([]networkingv1.NetworkPolicyPeer, bool) {
	switch {
	case p.family.IsValid():
		return nil, c.lose(field, "pods of one address family have no counterpart")
	case p.nodes != nil:
		return nil, c.lose(field, "nodes have no counterpart")
	case p.services != nil:
		return nil, c.lose(field, "services have no counterpart")
	case p.who != nil:
		return c.kubernetesPods(p.who, field)
	}
	b, ok := c.asAddress(p, field)
	if !ok || empty(b) {
		return nil, ok
	}
	block := &networkingv1.IPBlock{CIDR: b.Prefix.String()}
	for _, e := range b.Except {
		block.Except = append(block.Except, e.String())
	}
	return []networkingv1.NetworkPolicyPeer{{IPBlock: block}}, true
}

func (c *converter) kubernetesPods(w *who, field string) ([]networkingv1.NetworkPolicyPeer, bool) {
	if !c.account(w, field) {
		return nil, false
	}
	var peer networkingv1.NetworkPolicyPeer
	if w.namespace != c.from.Subject.Namespace || len(w.namespaces) > 0 {
		peer.NamespaceSelector = labelSelector(w.withName())
	}
	if peer.NamespaceSelector == nil || len(w.pods) > 0 {
		peer.PodSelector = labelSelector(w.pods)
	}
	return []networkingv1.NetworkPolicyPeer{peer}, true
}
