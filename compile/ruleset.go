package compile

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// ruleset is a policy's rules of one direction in the form that groups are
// judged by. All classes with the policy share it.
type ruleset struct {
	script
	record    *record
	direction traffic.Direction
	classes   map[*class]struct{}
}

// script is what follows from the policy's text.
type script struct {
	rules   []rule
	hits    map[*matcher][]hit   // what a matcher says of an address
	cuts    map[*matcher][]int32 // the clauses that it rules out
	clauses []clause             // the first one is no clause
	free    []int32              // the clauses that need nothing
	names   map[portName]struct{}
	marks   []mark
	learns  string // the names that an egress rule knows; empty: none
	served  string // what is made of the ports of services; empty: no rule asks
	// protocols are those that rules name.
	protocols map[traffic.Protocol]struct{}
	asks      bool // some rule asks for content
	byName    bool // some rule picks its peers by name
}

// rule is one rule without its peers, which are in script.hits.
type rule struct {
	n        int32 // the policy's number for it
	action   policy.Action
	anyPeer  bool
	ports    ports
	notPorts ports
	within   *ports // only at these ports; nil: at all of the above
	// content is what the rule asks of the content, and kind what for; without
	// content the kind is Allow.
	content l7.Rule
	kind    traffic.Verdict
}

// ports are ports by number and by name.
type ports struct {
	numbers map[traffic.Protocol]spans // of AnyProtocol: of every protocol
	names   []portName                 // resolved on the destination
}

// hit is a rule that an address satisfies if it satisfies a matcher; or, with a
// clause, one of the matchers that the clause needs.
type hit struct{ rule, clause int32 }

// clause is a rule that an address satisfies if it satisfies so many matchers and
// none that rules the clause out.
type clause struct{ rule, needs int32 }

// mark says that a prefix belongs to a matcher of several.
type mark struct {
	prefix  netip.Prefix
	matcher *matcher
}

// fill compiles the policy's rules and takes what it needs before it gives back
// what it had.
func (c *Compiler) fill(r *ruleset) {
	old := r.script
	r.script = script{
		hits: map[*matcher][]hit{}, cuts: map[*matcher][]int32{}, clauses: []clause{{}},
		names: map[portName]struct{}{}, protocols: map[traffic.Protocol]struct{}{},
	}
	if rules := r.record.In(r.direction); rules != nil {
		w := writer{Compiler: c, ruleset: r}
		for i := range rules.Rules {
			w.write(int32(i), &rules.Rules[i])
		}
		for i, rule := range rules.Rules { // behind all, for peers may make more
			if !rule.AnyPeer {
				w.peers(int32(i), rule.Peers)
			}
		}
		if names := r.record.NameSelectors(); r.direction == traffic.Egress && len(names) > 0 {
			for _, n := range names {
				r.learns += n.String() + "\n"
			}
			w.byName = true
			w.limit(carriersOf(traffic.InspectDNS), nil)
		}
	}
	if r.served = c.servedText(r); r.served != "" {
		c.portRules[r] = struct{}{}
	} else {
		delete(c.portRules, r)
	}
	c.giveBack(r, old)
}

// giveBack takes a ruleset off what it no longer needs.
func (c *Compiler) giveBack(r *ruleset, old script) {
	old.matchers(func(m *matcher) {
		if !r.needs(m) {
			delete(m.rulesets, r)
			c.idle[m] = struct{}{}
		}
	})
	for name := range old.names {
		if _, ok := r.names[name]; !ok {
			delete(c.ports[name].rulesets, r)
		}
	}
	for _, m := range old.marks {
		c.nets.unmark(m.prefix, m.matcher)
	}
}

func (s *script) needs(m *matcher) bool { return len(s.hits[m])+len(s.cuts[m]) > 0 }

// matchers visits the matchers of peers and exceptions, some of them twice.
func (s *script) matchers(visit func(*matcher)) {
	for m := range s.hits {
		visit(m)
	}
	for m := range s.cuts {
		visit(m)
	}
}

// writer compiles one ruleset.
type writer struct {
	*Compiler
	*ruleset
	ports string // peers are only those with this list of ports; empty: any
}

func (w *writer) write(n int32, r *policy.Rule) {
	compiled := rule{n: n, action: r.Action, anyPeer: r.AnyPeer, ports: w.portsOf(r.Ports), notPorts: w.portsOf(r.NotPorts)}
	if r.AnyPort {
		compiled.ports = ports{numbers: map[traffic.Protocol]spans{traffic.AnyProtocol: allPorts}}
	}
	if compiled.kind = r.Inspects(); compiled.kind.Inspects() {
		w.ask(n, r, &compiled)
	}
	w.rules = append(w.rules, compiled)
}

// portsOf compiles ports, and notes what protocols and names they are about.
func (w *writer) portsOf(list []policy.Port) ports {
	found := ports{numbers: numbersOf(list), names: namesOf(list)}
	for protocol := range found.numbers {
		if protocol != traffic.AnyProtocol {
			w.protocols[protocol] = struct{}{}
		}
	}
	for _, name := range found.names {
		w.protocols[name.protocol] = struct{}{}
		if w.direction == traffic.Egress {
			w.names[name] = struct{}{}
			w.acquirePort(name, w.ruleset)
		}
	}
	return found
}

// numbersOf are the ports that are given by number.
func numbersOf(list []policy.Port) map[traffic.Protocol]spans {
	numbers := map[traffic.Protocol]spans{}
	for _, p := range list {
		whole := p.From == 0 && p.To == 0 && !p.Typed
		switch {
		case p.Name != "" || p.From > p.To:
		case whole:
			numbers[p.Protocol] = allPorts
		default:
			for _, protocol := range protocolsOf(p) {
				if protocol.HasPorts() && !p.Typed || protocol.HasTypes() && p.Typed {
					numbers[protocol] = numbers[protocol].union(spans{{p.From, p.To}})
				}
			}
		}
	}
	return numbers
}

// long is how many blocks make a list: more than a person writes, and then they
// are told apart only where another rule does.
const long = 16

func (w *writer) peers(n int32, peers []policy.Peer) {
	var blocks []netip.Prefix
	for _, p := range peers {
		if p.Services != nil && p.Services.Ports {
			w.atPorts(n, p)
			continue
		}
		for _, c := range whenIs(p) {
			switch {
			case len(c.yes) != 1 || len(c.no) > 0:
				w.clause(n, c)
			case c.yes[0].CIDR != nil:
				blocks = append(blocks, c.yes[0].CIDR.Prefix)
			default:
				m := w.acquirePeer(c.yes[0])
				w.hits[m] = append(w.hits[m], hit{rule: n})
			}
		}
	}
	for _, m := range w.blocksOf(blocks, fmt.Sprintf("blocks in %s", w.nameOf(n))) {
		w.hits[m] = append(w.hits[m], hit{rule: n})
	}
}

func (w *writer) nameOf(n int32) string {
	return fmt.Sprintf("%s of %s rule %d", w.direction, refKey(w.record.Ref), n)
}

// clause writes a conjunction of more than one question.
func (w *writer) clause(n int32, c conjunction) {
	id := int32(len(w.clauses))
	needs := int32(0)
	for _, p := range c.yes {
		m := w.acquirePeer(p)
		if h := (hit{n, id}); !slices.Contains(w.hits[m], h) {
			w.hits[m] = append(w.hits[m], h)
			needs++
		}
	}
	w.clauses = append(w.clauses, clause{n, needs})
	if needs == 0 {
		w.free = append(w.free, id)
	}
	var blocks []netip.Prefix
	for _, p := range c.no {
		if p.CIDR != nil {
			blocks = append(blocks, p.CIDR.Prefix)
			continue
		}
		m := w.acquirePeer(p)
		w.cuts[m] = append(w.cuts[m], id)
	}
	for _, m := range w.blocksOf(blocks, fmt.Sprintf("exceptions %d in %s", id, w.nameOf(n))) {
		w.cuts[m] = append(w.cuts[m], id)
	}
}

// blocksOf are the matchers for a rule's blocks. Those of a long list are one
// matcher: without it, ten thousand blocks that mean the same would be ten
// thousand groups with as many rows in each class.
func (w *writer) blocksOf(blocks []netip.Prefix, name string) []*matcher {
	var found []*matcher
	var list *matcher
	for _, b := range blocks {
		if len(blocks) <= long || wideBlock(b) {
			found = append(found, w.acquireNet(b, w.ruleset))
			continue
		}
		if list == nil {
			list = w.acquireList(name, w.ruleset)
			found = append(found, list)
		}
		w.marks = append(w.marks, mark{b, list})
		w.nets.mark(b, list)
	}
	return found
}
