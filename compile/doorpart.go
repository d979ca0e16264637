package compile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// hostPart is what a side of a door has that a pod's has not.
type hostPart struct {
	first    *record     // asked before all others; nil: nothing is
	sections [][]*record // one after the other, each with all tiers
	early    bool        // no tier ends in a denial
	closed   bool        // what no rule decides is denied
}

// hostKey tells sides of doors apart, and from those of pods.
func (c *Compiler) hostKey(s *side, place doorPlace) string {
	var key strings.Builder
	fmt.Fprintf(&key, "host early %t closed %t audit %t\n", s.host.early, s.host.closed, s.audit)
	if s.host.first != nil {
		key.WriteString("first " + s.host.first.Text() + "\n")
	}
	for _, section := range s.host.sections {
		key.WriteString("section\n")
		for _, r := range section {
			key.WriteString(refKey(r.Ref) + "\n")
			for n := range r.In(place.direction).Rules {
				if s.isWithout(r, int32(n)) {
					fmt.Fprintf(&key, "without rule %d\n", n)
				}
			}
		}
	}
	for _, name := range s.names() {
		key.WriteString(portsText(name, s.resolved[name]) + "\n")
	}
	return key.String()
}

// resolveOn notes what the names of ports in rules mean on a host.
func (s *side) resolveOn(host *policy.Host, rules *policy.Rules) {
	for _, rule := range rules.Rules {
		for _, name := range slices.Concat(namesOf(rule.Ports), namesOf(rule.NotPorts)) {
			numbers := host.Resolve(name.name, name.protocol)
			slices.Sort(numbers)
			s.resolved[name] = slices.Compact(numbers)
		}
	}
}

// hostPipeline is the pipeline of a door. Nobody looks at content there: rules
// that ask for it do not match.
func (c *Compiler) hostPipeline(s *side, d traffic.Direction) *pipeline {
	p := &pipeline{at: map[*ruleset][]spot{}, side: s}
	defer func() { p.asks, p.byName = false, false }()
	order := int32(0)
	if s.host.first != nil {
		p.stages = append(p.stages, stage{end: policy.Pass})
		order = p.add(lane{policies: []*record{s.host.first}}, d, order)
	}
	for _, section := range s.host.sections {
		var complete bool
		if order, complete = c.addTiers(p, section, d, order); !complete {
			return p
		}
	}
	if s.host.closed {
		p.stages = append(p.stages, stage{end: policy.Deny})
	}
	return p
}

// writeDoors writes the doors with their classes' numbers, and whose addresses
// pass them unasked.
func (c *Compiler) writeDoors() {
	for d := range c.out.hosts.values {
		if _, ok := c.doors.held[d]; !ok {
			c.out.hosts.delete(d)
		}
	}
	for d, classes := range c.doors.held {
		var h plan.Host
		for i, at := range []*plan.ClassID{
			&h.Input, &h.Output, &h.Enter, &h.Leave, &h.RefuseIn, &h.GrantIn, &h.RefuseOut, &h.GrantOut,
		} {
			*at = classes[i].number()
		}
		c.out.hosts.set(d, h)
	}
	own, keep := map[netip.Prefix]struct{}{}, map[netip.AddrPort]struct{}{}
	if len(c.doors.held) > 0 {
		own = c.ownPods()
		for _, to := range c.doors.keep {
			keep[to] = struct{}{}
		}
	}
	become(&c.out.own, own)
	become(&c.out.keep, keep)
}

// become makes a table hold some entries and no others.
func become[K comparable](t *table[K, struct{}], keys map[K]struct{}) {
	for k := range t.values {
		if _, ok := keys[k]; !ok {
			t.delete(k)
		}
	}
	for k := range keys {
		t.set(k, struct{}{})
	}
}

// ownPods are the addresses of the node's pods and its pod networks, none inside
// another.
func (c *Compiler) ownPods() map[netip.Prefix]struct{} {
	found := map[netip.Prefix]struct{}{}
	if n, ok := c.nodes[c.node]; ok {
		for _, p := range n.object.PodCIDRs {
			found[p.Masked()] = struct{}{}
		}
	}
	for p := range found {
		for q := range found {
			if p != q && contains(q, p) {
				delete(found, p)
			}
		}
	}
	within := func(addr netip.Addr) bool {
		for p := range found {
			if p.Contains(addr) {
				return true
			}
		}
		return false
	}
	for p := range c.locals {
		for _, a := range p.addrs {
			if !within(a.addr) {
				found[netip.PrefixFrom(a.addr, a.addr.BitLen())] = struct{}{}
			}
		}
	}
	return found
}
