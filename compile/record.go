package compile

import (
	"cmp"
	"fmt"
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
	blind           *record  // the policy for the blind; nil: nobody asks it
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
		if had && object != nil && selectAlike(r.Policy, object) {
			r.Policy = object
			c.rewrite(r)
			c.settleHostPolicy(r, false)
			continue
		}
		if had {
			c.subjects.remove(&r.Subject, r)
			c.reselect(r)
		}
		if object == nil {
			if had {
				c.settleHostPolicy(r, true)
			}
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
		c.settleHostPolicy(r, false)
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

// side is what one pod's policies are in one direction at one of its addresses:
// which they are, and for ingress what the names of ports in them mean on this
// pod.
type side struct {
	key      string
	audit    bool
	policies []*record // by reference
	resolved map[portName][]uint16
	without  map[ruleOf]struct{} // rules that are not about this pod
	host     *hostPart           // nil: it is a pod's
}

// ruleOf is a rule of a policy, by its number.
type ruleOf struct {
	record *record
	n      int32
}

// newSide is nil for a pod that no policy selects in that direction.
func (c *Compiler) newSide(p *pod, at *address, d traffic.Direction) *side {
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
		for _, n := range c.notAbout(p, at, rules) {
			if s.without == nil {
				s.without = map[ruleOf]struct{}{}
			}
			s.without[ruleOf{r, n}] = struct{}{}
			fmt.Fprintf(&key, "without rule %d\n", n)
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

// notAbout are the rules that ask for something of the pod itself which is not so
// at an address.
func (c *Compiler) notAbout(p *pod, at *address, rules *policy.Rules) []int32 {
	var found []int32
	var end *policy.End
	for n, rule := range rules.Rules {
		if len(rule.Self) == 0 {
			continue
		}
		if end == nil {
			end = c.end(p, at)
		}
		if !slices.ContainsFunc(rule.Self, func(p policy.Peer) bool { return p.Matches(end) }) {
			found = append(found, int32(n))
		}
	}
	return found
}

func (c *Compiler) end(p *pod, at *address) *policy.End {
	end := &policy.End{Addr: at.addr, Pod: p.object, Labels: c.labels(p)}
	for _, n := range c.networks {
		if n.Contains(at.addr) {
			end.Networks = append(end.Networks, policy.Member{Networks: n, Labels: c.networkLabels(n)})
		}
	}
	return end
}

func (s *side) isWithout(r *record, n int32) bool {
	_, without := s.without[ruleOf{r, n}]
	return without
}

// refKey is a policy's full name; no part of it can hold a slash.
func refKey(r policy.Ref) string {
	key := strings.Join([]string{r.Dialect.String(), r.Kind, r.Namespace, r.Name}, "/")
	if r.Part != "" {
		key += "/" + r.Part
	}
	return key
}

func (s *side) resolve(p *pod, rules *policy.Rules) {
	for _, rule := range rules.Rules {
		for _, name := range slices.Concat(namesOf(rule.Ports), namesOf(rule.NotPorts)) {
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

// withPorts are the protocols that AnyProtocol stands for where ports are given,
// withTypes where types of ICMP are.
var (
	withPorts = []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.SCTP}
	withTypes = []traffic.Protocol{traffic.ICMP, traffic.ICMPv6}
)

// protocolsOf are the protocols that a rule's port can mean.
func protocolsOf(p policy.Port) []traffic.Protocol {
	switch {
	case p.Protocol != traffic.AnyProtocol:
		return []traffic.Protocol{p.Protocol}
	case p.Typed:
		return withTypes
	}
	return withPorts
}

// namesOf are the named ports among ports.
func namesOf(ports []policy.Port) []portName {
	var names []portName
	for _, port := range ports {
		if port.Name == "" {
			continue
		}
		for _, protocol := range protocolsOf(port) {
			names = append(names, portName{port.Name, protocol})
		}
	}
	return names
}
