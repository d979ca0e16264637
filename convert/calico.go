package convert

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

const calicoAPI = "projectcalico.org/v3"

// calico writes a NetworkPolicy or GlobalNetworkPolicy of Calico, and the tier that
// it needs.
func (c *converter) calico(p *policy.Policy) {
	s := c.subject(p)
	if s == nil {
		return
	}
	spec := calico.NetworkPolicySpec{Tier: c.calicoTier(p), Selector: expression(s.pods)}
	if order := p.Order; !math.IsInf(order, 1) {
		spec.Order = &order
	}
	if order := float64(policy.NetworkPolicyOrder); p.Dialect == policy.Cilium {
		spec.Order = &order
	}
	c.own = p.Subject.Namespace
	if len(s.namespaces) > 0 {
		c.own = "" // it takes a cluster-wide policy to say that
	}
	spec.ServiceAccountSelector = expression(append(named(s.accountNames), s.accounts...))
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		rules := p.In(d)
		if rules == nil {
			continue
		}
		spec.Types = append(spec.Types, map[traffic.Direction]string{traffic.Ingress: "Ingress", traffic.Egress: "Egress"}[d])
		if !rules.Isolates && c.set.Tiers[p.Tier].End != policy.Pass {
			c.lose(c.spec()+".enableDefaultDeny."+d.String(), "a policy that does not isolate has no counterpart")
		}
	}
	c.eachRule(func(d traffic.Direction, n int, r *policy.Rule) {
		rules := c.calicoRules(d, n, r)
		if d == traffic.Ingress {
			spec.Ingress = append(spec.Ingress, rules...)
		} else {
			spec.Egress = append(spec.Egress, rules...)
		}
	})
	c.addCalico(p, s, spec)
}

func (c *converter) addCalico(p *policy.Policy, s *who, spec calico.NetworkPolicySpec) {
	if c.own != "" {
		object := &calico.NetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: calicoAPI, Kind: calico.Kind}, Spec: spec}
		object.Namespace, object.Name = c.own, c.name(p)
		c.add(object)
		return
	}
	object := &calico.GlobalNetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: calicoAPI, Kind: calico.GlobalKind}}
	object.Name = c.name(p)
	object.Spec.NetworkPolicySpec, object.Spec.NamespaceSelector = spec, expression(named(s.withName()))
	if object.Spec.NamespaceSelector == "" {
		object.Spec.NamespaceSelector = "all()" // leaves hosts alone
	}
	c.add(object)
}

// calicoTier is the name of the policy's tier, which is written if Calico does not
// have it.
func (c *converter) calicoTier(p *policy.Policy) string {
	tier := c.set.Tiers[p.Tier]
	known := map[string]string{policy.NetworkPolicyTier.Name: "default", policy.AdminTier.Name: "admin", policy.BaselineTier.Name: "baseline"}
	name := cmp.Or(known[p.Tier], p.Tier)
	if name == "default" || c.tiers[name] {
		return name
	}
	c.tiers[name] = true
	object := &calico.Tier{TypeMeta: metav1.TypeMeta{APIVersion: calicoAPI, Kind: calico.TierKind}}
	object.Name, object.Spec.Order, object.Spec.DefaultAction = name, &tier.Order, "Pass"
	if _, exists := c.set.Tiers[name]; exists && name != denyTier.Name {
		c.lose(c.spec()+".tier", "there is a tier %s already: rename it", name)
	}
	c.add(object)
	return name
}

// calicoRules are as many rules as the ends and protocols of one take.
func (c *converter) calicoRules(d traffic.Direction, n int, r *policy.Rule) []calico.Rule {
	action := map[policy.Action]string{policy.Allow: "Allow", policy.Deny: "Deny", policy.Pass: "Pass", policy.Log: "Log"}[r.Action]
	ends := []calico.Rule{{Action: action}}
	if !r.AnyPeer {
		ends = nil
		peers, _ := c.peers(r, c.peersField(d, n))
		for _, p := range peers {
			rule := calico.Rule{Action: action}
			e := &rule.Destination
			if d == traffic.Ingress {
				e = &rule.Source
			}
			if c.calicoEnd(&rule, e, &p, d, c.peersField(d, n)) {
				ends = append(ends, rule)
			}
		}
	}
	var rules []calico.Rule
	for _, end := range ends {
		rules = append(rules, c.calicoPorts(end, r, c.portsField(d, n))...)
	}
	return rules
}

// calicoEnd fills what a rule asks of its other end.
func (c *converter) calicoEnd(rule *calico.Rule, e *calico.EntityRule, p *peer, d traffic.Direction, field string) bool {
	if p.family.IsValid() {
		version := 4
		if p.family.Addr().Is6() {
			version = 6
		}
		rule.IPVersion = &version
	}
	switch {
	case p.nodes != nil:
		return c.lose(field, "nodes have no counterpart: give them HostEndpoints, or name their addresses")
	case p.services != nil:
		return c.calicoService(e, p.services, d, field)
	case p.who != nil:
		c.calicoPods(e, p.who)
		return true
	}
	b, ok := c.asAddress(p, field)
	if !ok || empty(b) {
		return false
	}
	e.Nets = []string{b.Prefix.String()}
	for _, x := range b.Except {
		e.NotNets = append(e.NotNets, x.String())
	}
	return true
}

func (c *converter) calicoService(e *calico.EntityRule, s *policy.ServiceSelector, d traffic.Direction, field string) bool {
	if s.Name == "" || s.Namespace == "" || s.Services != nil || s.Ports != (d == traffic.Egress) {
		return c.lose(field, "services have a counterpart only by name, and for egress only at their ports")
	}
	e.Services = &calico.ServiceMatch{Name: s.Name, Namespace: s.Namespace}
	return true
}

// calicoPods: a selector alone would pick sets of networks and hosts as well, so it
// asks for pods as Calico does when it reads a NetworkPolicy.
func (c *converter) calicoPods(e *calico.EntityRule, w *who) {
	e.Selector = "projectcalico.org/orchestrator == 'k8s'"
	if own := expression(w.pods); own != "" {
		e.Selector += " && " + own
	}
	if w.namespace != c.own || len(w.namespaces) > 0 {
		if e.NamespaceSelector = expression(named(w.withName())); e.NamespaceSelector == "" {
			e.NamespaceSelector = "all()"
		}
	}
	if len(w.accounts)+len(w.accountNames) > 0 {
		e.ServiceAccounts = &calico.ServiceAccountMatch{Selector: expression(append(named(w.accountNames), w.accounts...))}
	}
}

// named puts Calico's key in the place of the one that says an object's name.
func named(list []term) []term {
	all := slices.Clone(list)
	for i, t := range all {
		if t.key == cluster.NamespaceNameLabel || t.key == policy.AccountKey {
			all[i].key = "projectcalico.org/name"
		}
	}
	return all
}

// expression is conditions in Calico's selector language.
func expression(list []term) string {
	var words []string
	for _, t := range list {
		quoted := make([]string, len(t.values))
		for i, v := range t.values {
			quoted[i] = "'" + v + "'"
		}
		one := len(quoted) == 1
		switch {
		case t.op == metav1.LabelSelectorOpExists:
			words = append(words, "has("+t.key+")")
		case t.op == metav1.LabelSelectorOpDoesNotExist:
			words = append(words, "!has("+t.key+")")
		case t.op == metav1.LabelSelectorOpIn && one:
			words = append(words, t.key+" == "+quoted[0])
		case t.op == metav1.LabelSelectorOpNotIn && one:
			words = append(words, t.key+" != "+quoted[0])
		case t.op == metav1.LabelSelectorOpIn:
			words = append(words, t.key+" in {"+strings.Join(quoted, ", ")+"}")
		default:
			words = append(words, t.key+" not in {"+strings.Join(quoted, ", ")+"}")
		}
	}
	return strings.Join(words, " && ")
}

// calicoPorts is a rule for each protocol that another names.
func (c *converter) calicoPorts(rule calico.Rule, r *policy.Rule, field string) []calico.Rule {
	ports, any, ok := c.portsOf(r, field)
	if any {
		return []calico.Rule{rule}
	}
	if !ok {
		return nil
	}
	if rule.Destination.Services != nil {
		c.lose(field, "a service brings its own ports along")
		return nil
	}
	var rules []calico.Rule
	for _, protocol := range withPorts {
		rules = append(rules, calicoProtocol(rule, ports, protocol)...)
	}
	return rules
}

// mostPorts is how many ports Calico takes in a rule.
const mostPorts = 50

func calicoProtocol(rule calico.Rule, ports []policy.Port, protocol traffic.Protocol) []calico.Rule {
	var list []intstr.IntOrString
	whole := false
	for _, p := range ports {
		switch {
		case p.Protocol != protocol:
		case p.Name != "":
			list = append(list, intstr.FromString(p.Name))
		case p.From == 0 && p.To == 0:
			whole = true
		case p.From == p.To:
			list = append(list, intstr.FromInt32(int32(p.From)))
		default:
			list = append(list, intstr.FromString(fmt.Sprintf("%d:%d", p.From, p.To)))
		}
	}
	name := intstr.FromString(protocol.String())
	rule.Protocol = &name
	if whole {
		return []calico.Rule{rule}
	}
	var rules []calico.Rule
	for part := range slices.Chunk(list, mostPorts) {
		rule.Destination.Ports = part
		rules = append(rules, rule)
	}
	return rules
}
