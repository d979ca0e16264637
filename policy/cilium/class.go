package cilium

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

// class is a kind of what Cilium gives labels to.
type class uint8

const (
	pod class = iota
	ownNode
	otherNode
	world4
	world6
)

// addressSources are those of labels that an address has by the blocks, groups and
// names that it belongs to.
var addressSources = []string{sourceAny, "cidr", "cidrgroup", "fqdn"}

// reservedLabels are those that each of a class has.
var reservedLabels = map[class][]string{
	ownNode:   {"host"},
	otherNode: {"remote-node"},
	world4:    {"world", "world-ipv4"},
	world6:    {"world", "world-ipv6"},
}

// of is what of the requirements depends on the object of a class; picks is false
// if none of the class can meet them.
func (all requirements) of(c class) (left requirements, picks bool) {
	for _, q := range all {
		switch value, exists, known := c.lookup(q); {
		case !known:
			left = append(left, q)
		case !q.holds(value, exists):
			return nil, false
		}
	}
	return left, true
}

// lookup is a label that all of a class have or lack; known is false if that
// depends.
func (c class) lookup(q requirement) (value string, exists, known bool) {
	if q.source == sourceReserved || q.source == sourceAny {
		if slices.Contains(reservedLabels[c], q.key) {
			return "", true, true
		}
	}
	ofPods := q.key == namespaceLabel || q.key == accountLabel || q.key == clusterLabel || strings.HasPrefix(q.key, namespacesPrefix)
	switch {
	case c == pod && q.key == clusterLabel && q.ofKubernetes():
		return thisCluster, true, true
	case c == pod:
		return "", false, !q.ofKubernetes()
	case ofPods:
		return "", false, true
	case c == ownNode:
		return "", false, !q.ofKubernetes() && q.source != sourceNode
	case c == otherNode:
		return "", false, q.source != sourceAny && q.source != sourceNode
	}
	return "", false, !slices.Contains(addressSources, q.source)
}

// podSelector turns requirements of pods into the model's selector; not ok if a label's
// key is none.
func (r *reader) podSelector(left requirements, path *field.Path) (policy.PodSelector, bool) {
	var s policy.PodSelector
	var namespaces, pods metav1.LabelSelector
	var account requirements
	for _, q := range left {
		switch label, ofNamespace := strings.CutPrefix(q.key, namespacesPrefix); {
		case q.key == namespaceLabel && q.operator == metav1.LabelSelectorOpIn && len(q.values) == 1 && q.values[0] != "" && s.Namespace == "":
			s.Namespace = q.values[0]
		case q.key == namespaceLabel && q.operator == metav1.LabelSelectorOpExists: // every pod has one
		case q.key == namespaceLabel:
			add(&namespaces, cluster.NamespaceNameLabel, q)
		case ofNamespace:
			add(&namespaces, label, q)
		case q.key == accountLabel:
			account = append(account, q)
		default:
			add(&pods, q.key, q)
		}
	}
	var errs, more field.ErrorList
	s.Namespaces, errs = syntax.Selector(&namespaces, path)
	s.Pods, more = syntax.Selector(&pods, path)
	if len(account) > 0 {
		s.Pods = &withAccount{s.Pods, account}
	}
	r.fail(append(errs, more...)...)
	return s, len(errs)+len(more) == 0
}

// nodeSelector turns requirements of nodes into the model's selector, likewise.
func (r *reader) nodeSelector(left requirements, path *field.Path) (policy.Selector, bool) {
	var nodes metav1.LabelSelector
	for _, q := range left {
		add(&nodes, q.key, q)
	}
	s, errs := syntax.Selector(&nodes, path)
	r.fail(errs...)
	return s, len(errs) == 0
}

func add(to *metav1.LabelSelector, key string, q requirement) {
	to.MatchExpressions = append(to.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: q.operator, Values: q.values})
}
