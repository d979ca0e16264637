package compile

import (
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// term is one label of a pod: a key with its value.
type term struct{ key, value string }

// exact is the terms of which an object must have one to be picked: those of the
// selector's requirement with the fewest values. ok is false if it asks for no
// exact value, or speaks a language that we do not know.
func exact(s policy.Selector) (terms []term, ok bool) {
	asking, known := s.(interface {
		Requirements() (labels.Requirements, bool)
	})
	if !known {
		return nil, false
	}
	requirements, selectable := asking.Requirements()
	if !selectable {
		return nil, false
	}
	var best *labels.Requirement
	for i, r := range requirements {
		if strings.HasPrefix(r.Key(), "@") {
			continue // no label of the pod itself
		}
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if best == nil || r.ValuesUnsorted() != nil && len(r.ValuesUnsorted()) < len(best.ValuesUnsorted()) {
				best = &requirements[i]
			}
		}
	}
	if best == nil {
		return nil, false
	}
	for _, v := range best.ValuesUnsorted() {
		terms = append(terms, term{best.Key(), v})
	}
	return terms, true
}

// anchor is a place in an index of selectors: those that pick only pods of a
// namespace and with a label. Empty fields stand for any.
type anchor struct {
	namespace string
	term      term
}

var anywhere = anchor{}

func anchors(s *policy.PodSelector) []anchor {
	terms, ok := exact(s.Pods)
	if !ok {
		return []anchor{{namespace: s.Namespace}}
	}
	found := make([]anchor, 0, len(terms))
	for _, t := range terms {
		found = append(found, anchor{s.Namespace, t})
	}
	return found
}

// selectorIndex finds the things whose selector may pick a pod, without asking
// those that cannot.
type selectorIndex[T comparable] struct {
	at map[anchor]map[T]struct{}
	// generation counts the changes of what is anchored nowhere.
	generation uint64
}

func newSelectorIndex[T comparable]() *selectorIndex[T] {
	return &selectorIndex[T]{at: map[anchor]map[T]struct{}{}}
}

func (x *selectorIndex[T]) add(s *policy.PodSelector, item T) {
	for _, a := range anchors(s) {
		if x.at[a] == nil {
			x.at[a] = map[T]struct{}{}
		}
		x.at[a][item] = struct{}{}
		x.count(a)
	}
}

func (x *selectorIndex[T]) remove(s *policy.PodSelector, item T) {
	for _, a := range anchors(s) {
		delete(x.at[a], item)
		if len(x.at[a]) == 0 {
			delete(x.at, a)
		}
		x.count(a)
	}
}

func (x *selectorIndex[T]) count(a anchor) {
	if a == anywhere {
		x.generation++
	}
}

// candidates are the things whose selector is anchored where the pod is. No
// thing comes twice: its terms are of one key, and the pod has one value of it.
func (x *selectorIndex[T]) candidates(p *cluster.Pod, visit func(T)) {
	for item := range x.at[anchor{namespace: p.Namespace}] {
		visit(item)
	}
	for key, value := range p.Labels {
		for item := range x.at[anchor{p.Namespace, term{key, value}}] {
			visit(item)
		}
		for item := range x.at[anchor{"", term{key, value}}] {
			visit(item)
		}
	}
}

// anywhere visits the things that are anchored nowhere.
func (x *selectorIndex[T]) anywhere(visit func(T)) {
	for item := range x.at[anywhere] {
		visit(item)
	}
}

// Blocks up to these lengths are as large as the pod network of a cluster.
const (
	widest4 = 16
	widest6 = 56
)

// wideBlock tells whether a block is apt to hold most of the cluster.
func wideBlock(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() <= widest4
	}
	return p.Bits() <= widest6
}

// widePods tells whether a selector is apt to pick pods all over the cluster:
// neither their label nor their namespace is given. The size of what it picks
// does not count, for that changes.
func widePods(s *policy.PodSelector) bool {
	if s.Namespace != "" {
		return false
	}
	if _, ok := exact(s.Pods); ok {
		return false
	}
	terms, ok := exact(s.Namespaces)
	return !ok || terms[0].key != cluster.NamespaceNameLabel
}
