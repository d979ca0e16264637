package compile

import (
	"fmt"
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// A rule that asks for content matches some of what a connection carries. So the
// rules are asked thrice: with all such rules taken not to match, and with those
// of one kind taken to. Ports that come out the same are what they are. The
// others are inspected, by a filter that says which content the rules allow.

// carriersOf are the protocols that can have a kind of content.
func carriersOf(kind traffic.Verdict) []traffic.Protocol {
	if kind == traffic.InspectDNS {
		return []traffic.Protocol{traffic.TCP, traffic.UDP}
	}
	return []traffic.Protocol{traffic.TCP}
}

// portDNS is where queries go (RFC 1035, 4.2).
var portDNS = spans{{53, 53}}

// ask notes what content a rule asks for.
func (w *writer) ask(n int32, r *policy.Rule, compiled *rule) {
	w.asks = true
	compiled.content = l7.Rule{By: fmt.Sprintf("%s %s rule %d", w.record.Ref, w.direction, n), HTTP: r.HTTP, DNS: r.DNS}
	w.limit(carriersOf(compiled.kind), &compiled.ports)
}

// limit makes ports those of some protocols, and has classes name these.
func (w *writer) limit(to []traffic.Protocol, p *ports) {
	for _, protocol := range to {
		w.protocols[protocol] = struct{}{}
	}
	if p == nil {
		return
	}
	numbers := map[traffic.Protocol]spans{}
	for _, protocol := range to {
		if found := p.numbers[traffic.AnyProtocol].union(p.numbers[protocol]); len(found) > 0 {
			numbers[protocol] = found
		}
	}
	p.numbers = numbers
	p.names = slices.DeleteFunc(p.names, func(name portName) bool { return !slices.Contains(to, name.protocol) })
}

// outcome of a run of ports that share it.
type portOutcome struct {
	span
	verdict traffic.Verdict
	filter  *l7.Filter // nil: everything may pass
}

// outcomes are what becomes of all ports of a protocol, by port, without gaps.
type outcomes []portOutcome

// outcomes are those of a protocol, in the class's order.
func (t answer) outcomes(i int) outcomes {
	if t.inspected != nil {
		return t.inspected[i]
	}
	return outcomesOf(t.allowed[i])
}

func outcomesOf(allowed spans) outcomes {
	var all outcomes
	for _, s := range allowed {
		all = append(all, portOutcome{span: s, verdict: traffic.Allow})
	}
	return all.filled()
}

// filled adds the ports that are denied.
func (o outcomes) filled() outcomes {
	var used spans
	for _, p := range o {
		used = used.union(spans{p.span})
	}
	for _, s := range used.complement() {
		o = append(o, portOutcome{span: s})
	}
	slices.SortFunc(o, func(a, b portOutcome) int { return int(a.from) - int(b.from) })
	return o
}

// and is what both let pass.
func (o outcomes) and(p outcomes) outcomes {
	var both outcomes
	for len(o) > 0 && len(p) > 0 {
		piece := o[0].and(p[0])
		piece.span = span{max(o[0].from, p[0].from), min(o[0].to, p[0].to)}
		both = append(both, piece)
		if o[0].to == piece.to {
			o = o[1:]
		}
		if p[0].to == piece.to {
			p = p[1:]
		}
	}
	return both
}

func (o portOutcome) and(p portOutcome) portOutcome {
	both := portOutcome{verdict: o.verdict.And(p.verdict)}
	switch {
	case !both.verdict.Inspects():
	case o.filter == nil:
		both.filter = p.filter
	case p.filter == nil:
		both.filter = o.filter
	default:
		filter := l7.Both(*o.filter, *p.filter)
		both.filter = &filter
	}
	return both
}

// inspect is what becomes of a protocol's ports; allowed are those that are
// allowed whatever they carry.
func (p *pipeline) inspect(places []place, protocol traffic.Protocol, resolved map[portName][]uint16, allowed spans) outcomes {
	var all outcomes
	learned := spans(nil)
	if p.byName && slices.Contains(carriersOf(traffic.InspectDNS), protocol) {
		learned = allowed.intersect(portDNS)
	}
	for _, s := range learned {
		all = append(all, portOutcome{span: s, verdict: traffic.InspectDNS})
	}
	for _, s := range allowed.minus(learned) {
		all = append(all, portOutcome{span: s, verdict: traffic.Allow})
	}
	with := func(kind traffic.Verdict) spans {
		return p.run(places, protocol, resolved, kind).minus(allowed)
	}
	http, dns := with(traffic.InspectHTTP), with(traffic.InspectDNS)
	f := formula{p, places, protocol, resolved, traffic.InspectHTTP}
	all = append(all, f.outcomes(http.minus(dns))...)
	f.kind = traffic.InspectDNS
	all = append(all, f.outcomes(dns.minus(http))...)
	return all.filled()
}

// inspectedDifferences are the differences where ports are inspected.
func (c *class) inspectedDifferences(t, without answer) []row {
	var rows []row
	if t.other != without.other {
		rows = append(rows, row{verdict: verdictOf(t.other)})
		without = c.otherwise(t.other)
	}
	for i, protocol := range c.protocols {
		rows = append(rows, c.changes(protocol, t.outcomes(i), without.outcomes(i))...)
	}
	return rows
}

// changes are the rows that turn one protocol's outcomes into others.
func (c *class) changes(protocol traffic.Protocol, to, from outcomes) []row {
	var rows []row
	for len(to) > 0 && len(from) > 0 {
		end := min(to[0].to, from[0].to)
		wanted := row{protocol: protocol, from: max(to[0].from, from[0].from), to: end, verdict: to[0].verdict, filter: c.internOrNil(to[0].filter)}
		if to[0].verdict != from[0].verdict || wanted.filter != c.internOrNil(from[0].filter) {
			rows = appendRow(rows, wanted)
		}
		if to[0].to == end {
			to = to[1:]
		}
		if from[0].to == end {
			from = from[1:]
		}
	}
	return rows
}

// appendRow joins a row to the one before where that says the same.
func appendRow(rows []row, r row) []row {
	if n := len(rows); n > 0 {
		last := &rows[n-1]
		if last.protocol == r.protocol && last.verdict == r.verdict && last.filter == r.filter && int(last.to)+1 == int(r.from) {
			last.to = r.to
			return rows
		}
	}
	return append(rows, r)
}

func (c *class) internOrNil(f *l7.Filter) *filter {
	if f == nil {
		return nil
	}
	return c.filters.intern(*f)
}
