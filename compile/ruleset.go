package compile

import (
	"fmt"
	"net/netip"

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
	rules []rule
	hits  map[*matcher][]hit   // what a matcher says of an address
	cuts  map[*matcher][]block // the blocks that a matcher is an exception of
	names map[portName]struct{}
	marks []mark
	// protocols are those that rules name.
	protocols map[traffic.Protocol]struct{}
}

// rule is one rule without its peers, which are in script.hits.
type rule struct {
	action  policy.Action
	anyPeer bool
	ports   map[traffic.Protocol]spans // of AnyProtocol: of every protocol
	names   []portName                 // resolved on the destination
}

// hit is a rule that an address satisfies if it satisfies a matcher, and none of
// the exceptions of the block.
type hit struct {
	rule  int32
	block block
}

// block numbers the blocks with exceptions in a ruleset, from 1. Zero: none.
type block int32

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
		hits: map[*matcher][]hit{}, cuts: map[*matcher][]block{},
		names: map[portName]struct{}{}, protocols: map[traffic.Protocol]struct{}{},
	}
	if rules := r.record.In(r.direction); rules != nil {
		w := writer{Compiler: c, ruleset: r}
		for i := range rules.Rules {
			w.write(int32(i), &rules.Rules[i])
		}
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
	blocks block
}

func (w *writer) write(n int32, r *policy.Rule) {
	compiled := rule{action: r.Action, anyPeer: r.AnyPeer, ports: portsOf(r)}
	for protocol := range compiled.ports {
		if protocol != traffic.AnyProtocol {
			w.protocols[protocol] = struct{}{}
		}
	}
	for _, name := range namesOf(*r) {
		compiled.names = append(compiled.names, name)
		w.protocols[name.protocol] = struct{}{}
		if w.direction == traffic.Egress {
			w.names[name] = struct{}{}
			w.acquirePort(name, w.ruleset)
		}
	}
	w.rules = append(w.rules, compiled)
	if !r.AnyPeer {
		w.peers(n, r.Peers)
	}
}

// portsOf are the ports that a rule gives by number.
func portsOf(r *policy.Rule) map[traffic.Protocol]spans {
	if r.AnyPort {
		return map[traffic.Protocol]spans{traffic.AnyProtocol: allPorts}
	}
	ports := map[traffic.Protocol]spans{}
	for _, p := range r.Ports {
		whole := p.From == 0 && p.To == 0
		switch {
		case p.Name != "" || p.From > p.To:
		case whole:
			ports[p.Protocol] = allPorts
		default:
			for _, protocol := range protocolsOf(p) {
				if protocol.HasPorts() {
					ports[protocol] = ports[protocol].union(spans{{p.From, p.To}})
				}
			}
		}
	}
	return ports
}

// long is how many blocks make a list: more than a person writes, and then they
// are told apart only where another rule does.
const long = 16

func (w *writer) peers(n int32, peers []policy.Peer) {
	var blocks []netip.Prefix
	for _, p := range peers {
		switch {
		case p.Pods != nil:
			m := w.acquirePods(p, w.ruleset)
			w.hits[m] = append(w.hits[m], hit{rule: n})
		case p.CIDR != nil && len(p.CIDR.Except) > 0:
			w.cutBlock(n, *p.CIDR)
		case p.CIDR != nil:
			blocks = append(blocks, p.CIDR.Prefix.Masked())
		}
	}
	name := fmt.Sprintf("%s of %s rule %d", w.direction, refKey(w.record.Ref), n)
	for _, m := range w.blocksOf(blocks, "blocks in "+name) {
		w.hits[m] = append(w.hits[m], hit{rule: n})
	}
}

func (w *writer) cutBlock(n int32, cidr policy.CIDR) {
	w.blocks++
	m := w.acquireNet(cidr.Prefix.Masked(), w.ruleset)
	w.hits[m] = append(w.hits[m], hit{rule: n, block: w.blocks})
	var cuts []netip.Prefix
	for _, e := range cidr.Except {
		cuts = append(cuts, e.Masked())
	}
	name := fmt.Sprintf("exceptions from %s in %s of %s rule %d", cidr.Prefix.Masked(), w.direction, refKey(w.record.Ref), n)
	for _, m := range w.blocksOf(cuts, name) {
		w.cuts[m] = append(w.cuts[m], w.blocks)
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
