package compile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// record is a policy and, if it selects a pod of this node, its rules in
// compiled form.
type record struct {
	*policy.Policy
	egress, ingress *ruleset // nil: no class needs it
}

func (r *record) ruleset(d traffic.Direction) **ruleset {
	if d == traffic.Ingress {
		return &r.ingress
	}
	return &r.egress
}

func (c *Compiler) settleTiers() {
	if len(c.pending.tiers) == 0 {
		return
	}
	for name, t := range c.pending.tiers {
		if t == nil {
			delete(c.tiers, name)
		} else {
			c.tiers[name] = *t
		}
	}
	set := policy.Set{Tiers: c.tiers}
	clear(c.tierPlace)
	for i, t := range set.SortedTiers() {
		c.tierPlace[t.Name] = i
	}
	for _, class := range c.classes {
		c.dirty.classes[class] = struct{}{}
	}
}

func (c *Compiler) settlePolicies() {
	for ref, object := range c.pending.policies {
		r, had := c.policies[ref]
		if had {
			c.subjects.remove(&r.Subject, r)
			c.reselect(r)
		}
		if object == nil {
			delete(c.policies, ref)
			continue
		}
		if !had {
			r = &record{}
			c.policies[ref] = r
		}
		r.Policy = object
		c.subjects.add(&r.Subject, r)
		c.reselect(r)
		c.rewrite(r)
	}
}

// reselect looks anew at the local pods that the policy selects.
func (c *Compiler) reselect(r *record) {
	if len(c.dirty.locals) == len(c.locals) {
		return
	}
	for p := range c.locals {
		if _, ok := c.dirty.locals[p]; ok {
			continue
		}
		if r.Subject.Matches(p.object, c.labels(p)) {
			c.dirty.locals[p] = struct{}{}
		}
	}
}

// rewrite compiles the rules of a policy in use that has changed.
func (c *Compiler) rewrite(r *record) {
	for _, rules := range []*ruleset{r.egress, r.ingress} {
		if rules == nil {
			continue
		}
		c.fill(rules)
		for class := range rules.classes {
			c.dirty.classes[class] = struct{}{}
		}
	}
}

// side is what one pod's policies are in one direction: which they are, and for
// ingress what the names of ports in them mean on this pod.
type side struct {
	key      string
	audit    bool
	policies []*record // by reference
	resolved map[portName][]uint16
}

// newSide is nil for a pod that no policy selects in that direction.
func newSide(p *pod, d traffic.Direction) *side {
	s := &side{audit: p.namespace.audit, resolved: map[portName][]uint16{}}
	var key strings.Builder
	if s.audit {
		key.WriteString("audit\n")
	}
	for _, r := range p.local.policies {
		rules := r.In(d)
		if rules == nil {
			continue
		}
		s.policies = append(s.policies, r)
		key.WriteString(refKey(r.Ref) + "\n")
		if d == traffic.Ingress {
			s.resolve(p, rules)
		}
	}
	if len(s.policies) == 0 {
		return nil
	}
	for _, name := range s.names() {
		key.WriteString(portsText(name, s.resolved[name]) + "\n")
	}
	s.key = key.String()
	return s
}

// refKey is a policy's full name; no part of it can hold a slash.
func refKey(r policy.Ref) string {
	return strings.Join([]string{r.Dialect.String(), r.Kind, r.Namespace, r.Name}, "/")
}

func (s *side) resolve(p *pod, rules *policy.Rules) {
	for _, rule := range rules.Rules {
		for _, name := range namesOf(rule) {
			numbers := p.object.Resolve(name.name, name.protocol)
			slices.Sort(numbers)
			s.resolved[name] = slices.Compact(numbers)
		}
	}
}

func (s *side) names() []portName {
	var names []portName
	for name := range s.resolved {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b portName) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.protocol, b.protocol))
	})
	return names
}

// withPorts are the protocols that AnyProtocol stands for where ports are given.
var withPorts = []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.SCTP}

// protocolsOf are the protocols that a rule's port can mean.
func protocolsOf(p policy.Port) []traffic.Protocol {
	if p.Protocol == traffic.AnyProtocol {
		return withPorts
	}
	return []traffic.Protocol{p.Protocol}
}

// namesOf are the named ports of a rule.
func namesOf(rule policy.Rule) []portName {
	var names []portName
	for _, port := range rule.Ports {
		if port.Name == "" || rule.AnyPort {
			continue
		}
		for _, protocol := range protocolsOf(port) {
			names = append(names, portName{port.Name, protocol})
		}
	}
	return names
}
