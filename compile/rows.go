package compile

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// row is a plan's row without its peer.
type row struct {
	protocol traffic.Protocol
	from, to uint16
	verdict  traffic.Verdict
	filter   *filter // nil: none
}

func verdictOf(allowed bool) traffic.Verdict {
	if allowed {
		return traffic.Allow
	}
	return traffic.Deny
}

// differences are the rows that turn what would be found without them into t.
func (c *class) differences(t, without answer) []row {
	if t.inspected != nil || without.inspected != nil {
		return c.inspectedDifferences(t, without)
	}
	var rows []row
	if t.other != without.other {
		rows = append(rows, row{verdict: verdictOf(t.other)})
	}
	for i, protocol := range c.protocols {
		found := without.allowed[i]
		if t.other != without.other {
			found = nil
			if t.other {
				found = allPorts
			}
		}
		for _, s := range t.allowed[i].minus(found) {
			rows = append(rows, row{protocol: protocol, from: s.from, to: s.to, verdict: traffic.Allow})
		}
		for _, s := range found.minus(t.allowed[i]) {
			rows = append(rows, row{protocol: protocol, from: s.from, to: s.to, verdict: traffic.Deny})
		}
	}
	return rows
}

// otherwise is an answer that is the same for everything.
func (c *class) otherwise(allowed bool) answer {
	t := answer{other: allowed, allowed: make([]spans, len(c.protocols))}
	if allowed {
		for i := range t.allowed {
			t.allowed[i] = allPorts
		}
	}
	return t
}

// settleRows writes the rows of groups that are new, and all of the classes that
// are.
func (c *Compiler) settleRows(born []*group) {
	todo := c.settleRules()
	for _, g := range born {
		for k := range classesOf(g) {
			if _, ok := c.dirty.classes[k]; !ok {
				todo[k] = append(todo[k], g)
			}
		}
	}
	for k, groups := range todo {
		c.flatten(k, groups)
	}
	for k := range c.dirty.classes {
		c.assemble(k)
		c.writeAny(k)
		groups := c.groupsOf(k)
		c.drop(k, groups) // first: a group may come back under its old number
		c.flatten(k, groups)
	}
}

// classesOf are the classes that know a matcher that the group may have rows for.
func classesOf(g *group) map[*class]struct{} {
	found := map[*class]struct{}{}
	for _, m := range g.own {
		for r := range m.rulesets {
			for k := range r.classes {
				found[k] = struct{}{}
			}
		}
	}
	return found
}

// groupsOf are the groups with a matcher that the class knows.
func (c *Compiler) groupsOf(k *class) []*group {
	found := map[*group]struct{}{}
	add := func(m *matcher) {
		for g := range m.groups {
			found[g] = struct{}{}
		}
	}
	for _, s := range k.sides {
		for _, r := range s.policies {
			rules := *r.ruleset(k.direction)
			rules.matchers(add)
			for name := range rules.names {
				for _, m := range c.ports[name].numbers {
					add(m)
				}
			}
		}
	}
	groups := make([]*group, 0, len(found))
	for g := range found {
		groups = append(groups, g)
	}
	return groups
}

// flatten writes a class's rows for some groups.
func (c *Compiler) flatten(k *class, groups []*group) {
	wider := map[*group]answer{nil: k.any}
	record := c.out.class(k.id)
	for _, g := range groups {
		base, ok := wider[g.wider]
		if !ok {
			base = k.answer(g.wider)
			wider[g.wider] = base
		}
		k.write(record, g, k.differences(k.answer(g), base))
	}
}

// write puts a group's rows in place of those that it had.
func (k *class) write(record *classRecord, g *group, rows []row) {
	old := k.rows[g]
	if slices.Equal(old, rows) {
		return
	}
	for _, r := range old {
		record.delete(r.of(g))
	}
	for _, r := range rows {
		record.set(r.of(g), r)
	}
	k.filters.hold(rows)
	k.filters.release(old)
	if len(rows) == 0 {
		delete(k.rows, g)
		delete(g.classes, k)
	} else {
		k.rows[g] = rows
		g.classes[k] = struct{}{}
	}
}

func (r row) of(g *group) plan.Row {
	return plan.Row{Peer: g.id, Protocol: r.protocol, From: r.from, To: r.to}
}

// writeAny writes the class itself and its rows for any peer.
func (c *Compiler) writeAny(k *class) {
	record := c.out.setClass(k.id, plan.Class{
		Direction: k.direction, Policies: k.policies(), Learns: k.learns(), Default: verdictOf(k.any.other), Audit: k.audit(), Grants: k.grants,
	})
	rows := k.differences(k.any, k.otherwise(k.any.other))
	for _, r := range k.anyRows {
		if !slices.Contains(rows, r) {
			record.delete(r.ofAny())
		}
	}
	for _, r := range rows {
		record.set(r.ofAny(), r)
	}
	k.filters.hold(rows)
	k.filters.release(k.anyRows)
	k.anyRows = rows
}

func (r row) ofAny() plan.Row {
	return plan.Row{AnyPeer: true, Protocol: r.protocol, From: r.from, To: r.to}
}

// drop takes away the rows of all groups but these.
func (c *Compiler) drop(k *class, keep []*group) {
	if len(k.rows) == 0 {
		return
	}
	kept := make(map[*group]struct{}, len(keep))
	for _, g := range keep {
		kept[g] = struct{}{}
	}
	record := c.out.class(k.id)
	for g := range k.rows {
		if _, ok := kept[g]; !ok {
			k.write(record, g, nil)
		}
	}
}
