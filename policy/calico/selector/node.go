package selector

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// node is a part of an expression, in canonical form.
type node interface {
	matches(labels.Labels) bool
	String() string
}

type allNode struct{}

func (allNode) matches(labels.Labels) bool { return true }
func (allNode) String() string             { return "all()" }

type globalNode struct{}

func (globalNode) matches(labels.Labels) bool { return true }
func (globalNode) String() string             { return "global()" }

// operator compares a label's value. The negations are made with not.
type operator string

const (
	has        operator = "has"
	in         operator = "in"
	contains   operator = "contains"
	startsWith operator = "starts with"
	endsWith   operator = "ends with"
)

// compare asks one label. Equality is in with one value.
type compare struct {
	key    string
	op     operator
	values []string // sorted, distinct; none for has
}

func newCompare(key string, op operator, values ...string) compare {
	values = slices.Clone(values)
	slices.Sort(values)
	return compare{key, op, slices.Compact(values)}
}

func (c compare) matches(l labels.Labels) bool {
	value, ok := l.Lookup(c.key)
	if !ok {
		return false
	}
	switch c.op {
	case has:
		return true
	case contains:
		return strings.Contains(value, c.values[0])
	case startsWith:
		return strings.HasPrefix(value, c.values[0])
	case endsWith:
		return strings.HasSuffix(value, c.values[0])
	}
	return slices.Contains(c.values, value)
}

func (c compare) String() string {
	switch {
	case c.op == has:
		return "has(" + c.key + ")"
	case c.op != in:
		return c.key + " " + string(c.op) + " " + quote(c.values[0])
	case len(c.values) == 1:
		return c.key + " == " + quote(c.values[0])
	}
	return c.key + " in {" + list(c.values) + "}"
}

// quote needs no escapes, for the language has none: a value holds one kind of
// quotes at most.
func quote(value string) string {
	if strings.Contains(value, `"`) {
		return "'" + value + "'"
	}
	return `"` + value + `"`
}

func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return strings.Join(quoted, ", ")
}

// not is the negation of a node that is none itself.
type not struct{ of node }

func negate(n node) node {
	if double, ok := n.(not); ok {
		return double.of
	}
	return not{n}
}

func (n not) matches(l labels.Labels) bool { return !n.of.matches(l) }

func (n not) String() string {
	switch of := n.of.(type) {
	case many:
		return "!(" + of.String() + ")"
	case compare:
		if of.op == in && len(of.values) == 1 {
			return of.key + " != " + quote(of.values[0])
		}
		if of.op == in {
			return of.key + " not in {" + list(of.values) + "}"
		}
	}
	return "!" + n.of.String()
}

// many is two or more nodes of which all, or any, must match; sorted, distinct,
// and none of its own kind among them.
type many struct {
	all   bool
	nodes []node
}

// join is the canonical conjunction, or disjunction.
func join(nodes []node, all bool) node {
	isAll := func(n node) bool { return n == node(allNode{}) }
	var flat []node
	for _, n := range nodes {
		if same, ok := n.(many); ok && same.all == all {
			flat = append(flat, same.nodes...)
		} else {
			flat = append(flat, n)
		}
	}
	if !all && slices.ContainsFunc(flat, isAll) {
		return allNode{}
	}
	flat = slices.DeleteFunc(flat, isAll)
	slices.SortFunc(flat, func(a, b node) int { return strings.Compare(a.String(), b.String()) })
	flat = slices.CompactFunc(flat, func(a, b node) bool { return a.String() == b.String() })
	switch len(flat) {
	case 0:
		return allNode{}
	case 1:
		return flat[0]
	}
	return many{all, flat}
}

func (m many) matches(l labels.Labels) bool {
	for _, n := range m.nodes {
		if n.matches(l) != m.all {
			return !m.all
		}
	}
	return m.all
}

func (m many) String() string {
	operator := " || "
	if m.all {
		operator = " && "
	}
	texts := make([]string, len(m.nodes))
	for i, n := range m.nodes {
		texts[i] = n.String()
		if _, nested := n.(many); nested {
			texts[i] = "(" + texts[i] + ")"
		}
	}
	return strings.Join(texts, operator)
}

// replace puts other nodes in place of the leaves.
func replace(n node, leaf func(node) node) node {
	switch n := n.(type) {
	case not:
		return negate(replace(n.of, leaf))
	case many:
		replaced := make([]node, len(n.nodes))
		for i, part := range n.nodes {
			replaced[i] = replace(part, leaf)
		}
		return join(replaced, n.all)
	}
	return leaf(n)
}
