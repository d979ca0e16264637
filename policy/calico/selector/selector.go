// Package selector reads and evaluates Calico's selector language:
//
//	app == "web" && (tier in {"a", "b"} || has(canary)) && !(zone starts with "eu-")
//
// It accepts what Calico's own parser accepts and nothing else. != and not in are
// true where the label is absent. "!" binds tightest, then "&&", then "||". An
// empty text and all() pick everything, and so does global(), unless the field
// that it stands in gives both a meaning of their own, with Scope.
//
// A Selector is immutable and may be used by several goroutines. The package is
// pure.
package selector

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Selector picks objects by their labels.
type Selector struct {
	root node
	text string
}

func newSelector(root node) *Selector { return &Selector{root: root, text: root.String()} }

// All picks everything.
func All() *Selector { return newSelector(allNode{}) }

// Has picks what has a label.
func Has(key string) *Selector { return newSelector(newCompare(key, has)) }

// In picks what has one of some values of a label; there must be at least one.
func In(key string, values ...string) *Selector { return newSelector(newCompare(key, in, values...)) }

// Not picks what a selector does not pick.
func Not(s *Selector) *Selector { return newSelector(negate(s.root)) }

// And picks what all the selectors pick.
func And(selectors ...*Selector) *Selector {
	var nodes []node
	for _, s := range selectors {
		nodes = append(nodes, s.root)
	}
	return newSelector(join(nodes, true))
}

// Matches tells whether the selector picks an object with these labels.
func (s *Selector) Matches(l labels.Labels) bool { return s.root.matches(l) }

// String is a canonical form that Parse reads: selectors that differ only in
// spacing, quotes, brackets, the order of operands or doubled ones have the same.
func (s *Selector) String() string { return s.text }

// PicksAll tells whether the selector plainly picks everything.
func (s *Selector) PicksAll() bool { return s.root == node(allNode{}) }

// Rename is the selector with other keys.
func (s *Selector) Rename(rename func(key string) string) *Selector {
	return newSelector(replace(s.root, func(n node) node {
		if c, ok := n.(compare); ok {
			return compare{rename(c.key), c.op, c.values}
		}
		return n
	}))
}

// Scope is the selector with others in place of all() and of global().
func (s *Selector) Scope(all, global *Selector) *Selector {
	return newSelector(replace(s.root, func(n node) node {
		switch n.(type) {
		case allNode:
			return all.root
		case globalNode:
			return global.root
		}
		return n
	}))
}

// Constant is the selector for a label that is not there to be asked: whatever
// the other selector picks has it, with this value, and nothing else does.
func (s *Selector) Constant(key, value string, where *Selector) *Selector {
	return newSelector(replace(s.root, func(n node) node {
		c, ok := n.(compare)
		switch {
		case !ok || c.key != key:
			return n
		case c.matches(labels.Set{key: value}):
			return where.root
		}
		return negate(allNode{})
	}))
}

// Requirements are conditions that every object which the selector picks meets,
// though meeting them is not always enough. They are for indexes.
func (s *Selector) Requirements() (labels.Requirements, bool) {
	operands := []node{s.root}
	if root, ok := s.root.(many); ok && root.all {
		operands = root.nodes
	}
	var found labels.Requirements
	for _, n := range operands {
		c, ok := n.(compare)
		if !ok || c.op != in || len(c.values) == 0 {
			continue
		}
		if r, err := labels.NewRequirement(c.key, selection.In, c.values); err == nil {
			found = append(found, *r) // not for what no label can be
		}
	}
	return found, true
}

// Condition is what a selector asks of one label: one of the operators of label
// selectors, with the same meaning.
type Condition struct {
	Key      string
	Operator metav1.LabelSelectorOperator
	Values   []string // sorted; of In and NotIn
}

// Conditions are those that an object meets exactly if the selector picks it; ok
// is false if the selector cannot be written so.
func (s *Selector) Conditions() (all []Condition, ok bool) {
	operands := []node{s.root}
	if root, isMany := s.root.(many); isMany && root.all {
		operands = root.nodes
	}
	for _, n := range operands {
		if n == node(allNode{}) {
			continue
		}
		c, ok := conditionOf(n)
		if !ok {
			return nil, false
		}
		all = append(all, c)
	}
	return all, true
}

func conditionOf(n node) (c Condition, ok bool) {
	positive, negative := metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn
	negation, negated := n.(not)
	if negated {
		n = negation.of
	}
	asked, ok := n.(compare)
	if !ok || asked.op != has && asked.op != in || asked.op == in && len(asked.values) == 0 {
		return c, false
	}
	if asked.op == has {
		positive, negative = metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist
	}
	if negated {
		positive = negative
	}
	return Condition{asked.key, positive, asked.values}, true
}
