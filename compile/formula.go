package compile

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// formula works out the filter of ports whose verdict depends on their content:
// it takes them through the rules as they are, and writes down what content each
// step asks for.
type formula struct {
	*pipeline
	places   []place
	protocol traffic.Protocol
	resolved map[portName][]uint16
	kind     traffic.Verdict
}

// condition is what content must be: anything, nothing would do, or what the
// filter lets pass.
type condition struct {
	always bool
	filter l7.Filter
}

var (
	always = condition{always: true}
	never  = condition{}
)

func (c condition) or(o condition) condition {
	if c.always || o.always {
		return always
	}
	return condition{filter: l7.Either(c.filter, o.filter)}
}

func (c condition) and(o condition) condition {
	switch {
	case c.always:
		return o
	case o.always:
		return c
	case c.filter.Empty() || o.filter.Empty():
		return never
	}
	return condition{filter: l7.Both(c.filter, o.filter)}
}

// outcomes are the filters of ports, which are all inspected.
func (f formula) outcomes(ports spans) outcomes {
	var all outcomes
	for _, s := range f.pieces(ports) {
		filter := f.from(0, f.places, s.from).filter
		all = append(all, portOutcome{span: s, verdict: f.kind, filter: &filter})
	}
	return all
}

// pieces cuts ports where a rule begins or ends, so that each piece meets the
// same rules throughout.
func (f formula) pieces(ports spans) spans {
	var found spans
	for _, s := range ports {
		starts := []int{int(s.from)}
		for _, at := range f.places {
			for _, r := range at.is.spans(f.protocol, f.resolved) {
				starts = append(starts, int(r.from), int(r.to)+1)
			}
		}
		slices.Sort(starts)
		starts = slices.DeleteFunc(slices.Compact(starts), func(n int) bool { return n < int(s.from) || n > int(s.to) })
		for i, start := range starts {
			end := int(s.to)
			if i+1 < len(starts) {
				end = starts[i+1] - 1
			}
			found = append(found, span{uint16(start), uint16(end)})
		}
	}
	return found
}

// from is what the tiers from stage n on ask of a port's content.
func (f formula) from(n int, places []place, port uint16) condition {
	if n == len(f.stages) {
		return always
	}
	allow, open := always, always
	for joint := true; joint; n++ {
		own := 0
		for own < len(places) && int(places[own].stage) == n {
			own++
		}
		laneAllow, laneOpen := f.lane(f.stages[n], places[:own], port)
		allow, open = allow.and(laneAllow), open.and(laneOpen)
		joint, places = f.stages[n].joint, places[own:]
	}
	return allow.or(open.and(f.from(n, places, port)))
}

// lane is what content one lane of a tier allows, and what it does not deny.
func (f formula) lane(s stage, places []place, port uint16) (allow, open condition) {
	action := s.end
	for _, at := range places {
		if at.is.action == policy.Log || at.is.kind.Inspects() && at.is.kind != f.kind || !f.matches(at.is, port) {
			continue
		}
		if !at.is.kind.Inspects() {
			action = at.is.action
			break
		}
		allow = allow.or(condition{filter: l7.Filter{Rules: []l7.Rule{at.is.content}}})
	}
	open = allow
	switch action {
	case policy.Allow:
		return always, always
	case policy.Pass:
		open = always
	}
	return allow, open
}

func (f formula) matches(r *rule, port uint16) bool {
	return len(r.spans(f.protocol, f.resolved).intersect(spans{{port, port}})) > 0
}
