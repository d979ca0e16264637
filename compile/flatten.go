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
	// inspected is what becomes of every port of the protocols, where content
	// matters; else nil. allowed are then the ports that nothing is asked of.
	inspected []outcomes
}

// and is what both allow.
func (t answer) and(o answer) answer {
	both := answer{other: t.other && o.other}
	for i := range t.allowed {
		both.allowed = append(both.allowed, t.allowed[i].intersect(o.allowed[i]))
	}
	if t.inspected != nil || o.inspected != nil {
		for i := range t.allowed {
			both.inspected = append(both.inspected, t.outcomes(i).and(o.outcomes(i)))
		}
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
	resolved := p.side.resolved
	if c.direction == traffic.Egress {
		resolved = resolvedBy(matchers)
	}
	places := p.matching(matchers)
	t := answer{allowed: make([]spans, len(c.protocols))}
	for i, protocol := range c.protocols {
		t.allowed[i] = p.run(places, protocol, resolved, traffic.Deny)
	}
	t.other = len(p.run(places, traffic.AnyProtocol, nil, traffic.Deny)) > 0
	if p.asks || p.byName {
		for i, protocol := range c.protocols {
			t.inspected = append(t.inspected, p.inspect(places, protocol, resolved, t.allowed[i]))
		}
	}
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
	var counts tallies
	for _, m := range matchers {
		p.eachRuleset(m, func(r *ruleset) {
			for _, c := range r.cuts[m] {
				counts.of(r, c).cut = true
			}
			for _, h := range r.hits[m] {
				if h.clause == 0 {
					found = p.appendPlaces(found, r, h.rule)
				} else {
					counts.of(r, h.clause).have++
				}
			}
		})
	}
	for _, f := range p.free {
		counts.of(f.rules, f.clause)
	}
	for _, t := range counts {
		if c := t.rules.clauses[t.clause]; !t.cut && t.have == c.needs {
			found = p.appendPlaces(found, t.rules, c.rule)
		}
	}
	slices.SortFunc(found, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.rule, b.rule))
	})
	return slices.CompactFunc(found, func(a, b place) bool { return a == b })
}

// eachRuleset visits the pipeline's rulesets that name a matcher, from the side
// where there are fewer.
func (p *pipeline) eachRuleset(m *matcher, visit func(*ruleset)) {
	if m.port != nil {
		return
	}
	if len(m.rulesets) > len(p.at) {
		for r := range p.at {
			if r.needs(m) {
				visit(r)
			}
		}
		return
	}
	for r := range m.rulesets {
		if _, ok := p.at[r]; ok {
			visit(r)
		}
	}
}

// run asks the rules for all ports of a protocol at once and returns those that
// are allowed. Of the rules that ask for content only those of the assumed kind
// are taken to match; Deny: none.
func (p *pipeline) run(places []place, protocol traffic.Protocol, resolved map[portName][]uint16, assumed traffic.Verdict) spans {
	undecided := allPorts
	var allowed spans
	for n := 0; n < len(p.stages); {
		tier := outcome{allowed: undecided}
		for joint := true; joint; n++ {
			own := 0
			for own < len(places) && int(places[own].stage) == n {
				own++
			}
			tier = tier.and(p.stages[n].run(undecided, places[:own], protocol, resolved, assumed))
			joint, places = p.stages[n].joint, places[own:]
		}
		allowed = allowed.union(tier.allowed)
		undecided = tier.passed
	}
	return allowed.union(undecided)
}

// outcome is what becomes of ports in a stage; all others are denied.
type outcome struct{ allowed, passed spans }

// and is for two lanes of a tier: what one passes goes on, though the other
// allows it.
func (a outcome) and(b outcome) outcome {
	both := outcome{allowed: a.allowed.intersect(b.allowed)}
	either := a.allowed.union(a.passed).intersect(b.allowed.union(b.passed))
	both.passed = either.minus(both.allowed)
	return both
}

// run asks a stage's rules for the ports that the stages before left undecided.
func (s stage) run(undecided spans, places []place, protocol traffic.Protocol, resolved map[portName][]uint16, assumed traffic.Verdict) outcome {
	var o outcome
	for _, at := range places {
		if at.is.action == policy.Log || at.is.kind.Inspects() && at.is.kind != assumed {
			continue
		}
		matched := undecided.intersect(at.is.spans(protocol, resolved))
		if len(matched) == 0 {
			continue
		}
		undecided = undecided.minus(matched)
		o.add(at.is.action, matched)
	}
	o.add(s.end, undecided)
	return o
}

func (o *outcome) add(a policy.Action, ports spans) {
	switch a {
	case policy.Allow:
		o.allowed = o.allowed.union(ports)
	case policy.Pass:
		o.passed = o.passed.union(ports)
	}
}

// spans are the ports of a protocol that the rule matches.
func (r *rule) spans(protocol traffic.Protocol, resolved map[portName][]uint16) spans {
	found := r.ports.of(protocol, resolved)
	if not := r.notPorts.of(protocol, resolved); len(not) > 0 {
		found = found.minus(not)
	}
	if r.within != nil {
		found = found.intersect(r.within.of(protocol, nil))
	}
	return found
}

func (p *ports) of(protocol traffic.Protocol, resolved map[portName][]uint16) spans {
	found := p.numbers[traffic.AnyProtocol]
	if protocol == traffic.AnyProtocol {
		return found
	}
	found = found.union(p.numbers[protocol])
	for _, name := range p.names {
		if name.protocol != protocol {
			continue
		}
		for _, n := range resolved[name] {
			found = found.union(spans{{n, n}})
		}
	}
	return found
}
