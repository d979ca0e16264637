package compile

import (
	"cmp"
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Flattening a class for a peer group means asking its rules in their order once
// for all ports of a protocol, and writing down where the answer differs from
// the one that would be found without a row of the group: that of its wider
// group, or of any peer. A group has rows only for the matchers that it has more
// than its wider group, so only classes that know one of these are asked.
//
// Without wider groups, the cost would be a product: a rule for every pod, in
// each of 250 classes, for each of 10,000 groups. What is wide is decided by how
// a matcher is written, see widePods and wideBlock, not by how many addresses it
// picks: else one pod more or less could turn all rows over.

// answer is what a class says of a group: the allowed ports of each protocol that
// the class names, in the order of class.protocols, and of all others.
type answer struct {
	allowed []spans
	other   bool
}

// and is what both allow.
func (t answer) and(o answer) answer {
	both := answer{other: t.other && o.other}
	for i := range t.allowed {
		both.allowed = append(both.allowed, t.allowed[i].intersect(o.allowed[i]))
	}
	return both
}

// answer flattens the class for a group, nil for an address that satisfies no
// matcher. Where there are several claimants at either end, the connection must
// be allowed whoever is meant.
func (c *class) answer(g *group) answer {
	variants := [][]*matcher{nil}
	if g != nil {
		variants = g.variants
	}
	var result answer
	first := true
	for _, p := range c.pipelines {
		for _, matchers := range variants {
			t := p.answer(matchers, c)
			if first {
				result, first = t, false
			} else {
				result = result.and(t)
			}
		}
	}
	return result
}

func (p *pipeline) answer(matchers []*matcher, c *class) answer {
	resolved := p.resolved
	if c.direction == traffic.Egress {
		resolved = resolvedBy(matchers)
	}
	places := p.matching(matchers)
	t := answer{allowed: make([]spans, len(c.protocols))}
	for i, protocol := range c.protocols {
		t.allowed[i] = p.run(places, protocol, resolved)
	}
	t.other = len(p.run(places, traffic.AnyProtocol, nil)) > 0
	return t
}

// resolvedBy is what the names of ports mean on a pod with these matchers.
func resolvedBy(matchers []*matcher) map[portName][]uint16 {
	var resolved map[portName][]uint16
	for _, m := range matchers {
		if m.port == nil {
			continue
		}
		if resolved == nil {
			resolved = map[portName][]uint16{}
		}
		for number, o := range m.port.numbers {
			if o == m {
				resolved[m.port.name] = append(resolved[m.port.name], number)
			}
		}
	}
	return resolved
}

// matching are the places of the rules that match an address with these
// matchers, in the order in which they are asked.
func (p *pipeline) matching(matchers []*matcher) []place {
	found := slices.Clone(p.any)
	type cut struct {
		rules *ruleset
		block block
	}
	var cuts []cut
	var blocks []cut // of the places at the end of found
	ask := func(r *ruleset, at place, m *matcher) {
		for _, b := range r.cuts[m] {
			cuts = append(cuts, cut{r, b})
		}
		for _, h := range r.hits[m] {
			at.rule, at.is = h.rule, &r.rules[h.rule]
			found = append(found, at)
			blocks = append(blocks, cut{r, h.block})
		}
	}
	for _, m := range matchers {
		p.eachRuleset(m, func(r *ruleset, at place) { ask(r, at, m) })
	}
	for i := len(blocks) - 1; i >= 0; i-- {
		if blocks[i].block != 0 && slices.Contains(cuts, blocks[i]) {
			at := len(found) - len(blocks) + i
			found = slices.Delete(found, at, at+1)
			blocks = slices.Delete(blocks, i, i+1)
		}
	}
	slices.SortFunc(found, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.rule, b.rule))
	})
	return slices.CompactFunc(found, func(a, b place) bool { return a.is == b.is })
}

// eachRuleset visits the pipeline's rulesets that name a matcher, from the side
// where there are fewer.
func (p *pipeline) eachRuleset(m *matcher, visit func(*ruleset, place)) {
	if m.port != nil {
		return
	}
	if len(m.rulesets) > len(p.at) {
		for r, at := range p.at {
			if r.needs(m) {
				visit(r, at)
			}
		}
		return
	}
	for r := range m.rulesets {
		if at, ok := p.at[r]; ok {
			visit(r, at)
		}
	}
}

// run asks the rules for all ports of a protocol at once and returns those that
// are allowed.
func (p *pipeline) run(places []place, protocol traffic.Protocol, resolved map[portName][]uint16) spans {
	undecided := allPorts
	var allowed spans
	for n, s := range p.stages {
		var passed spans
		for len(places) > 0 && int(places[0].stage) == n {
			r := places[0].is
			places = places[1:]
			if r.action == policy.Log {
				continue
			}
			matched := undecided.intersect(r.spans(protocol, resolved))
			if len(matched) == 0 {
				continue
			}
			undecided = undecided.minus(matched)
			switch r.action {
			case policy.Allow:
				allowed = allowed.union(matched)
			case policy.Pass:
				passed = passed.union(matched)
			}
		}
		switch s.end {
		case policy.Deny:
		case policy.Allow:
			allowed = allowed.union(undecided)
		default:
			passed = passed.union(undecided)
		}
		undecided = passed
	}
	return allowed.union(undecided)
}

// spans are the ports of a protocol that the rule matches.
func (r *rule) spans(protocol traffic.Protocol, resolved map[portName][]uint16) spans {
	found := r.ports[traffic.AnyProtocol]
	if protocol == traffic.AnyProtocol {
		return found
	}
	found = found.union(r.ports[protocol])
	for _, name := range r.names {
		if name.protocol != protocol {
			continue
		}
		for _, n := range resolved[name] {
			found = found.union(spans{{n, n}})
		}
	}
	return found
}
