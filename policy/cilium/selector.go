package cilium

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

// The sources of labels, which stand before a key and a colon.
const (
	sourceAny      = "any" // no source is the same
	sourceK8s      = "k8s"
	sourceReserved = "reserved"
	sourceNode     = "node"
)

// Keys that are no labels of the object itself.
const (
	namespaceLabel   = "io.kubernetes.pod.namespace"
	namespacesPrefix = "io.cilium.k8s.namespace.labels."
	accountLabel     = "io.cilium.k8s.policy.serviceaccount"
	clusterLabel     = "io.cilium.k8s.policy.cluster"
	serverLabel      = "kube-apiserver"
)

// thisCluster is Cilium's name for a cluster that was not given one.
const thisCluster = "default"

// requirement is a condition on a label.
type requirement struct {
	source, key string
	operator    metav1.LabelSelectorOperator
	values      []string
	match       bool // it is one of matchLabels
}

// holds tells whether a label that exists or not meets the condition.
func (q requirement) holds(value string, exists bool) bool {
	switch q.operator {
	case metav1.LabelSelectorOpIn:
		return exists && slices.Contains(q.values, value)
	case metav1.LabelSelectorOpNotIn:
		return !exists || !slices.Contains(q.values, value)
	case metav1.LabelSelectorOpExists:
		return exists
	}
	return !exists
}

// ofKubernetes: the label may be one that Kubernetes gave.
func (q requirement) ofKubernetes() bool { return q.source == sourceAny || q.source == sourceK8s }

// requirements are AND-ed.
type requirements []requirement

// holds tells whether an object on which all the labels exist or none meets the
// conditions.
func (all requirements) holds(value string, exists bool) bool {
	return !slices.ContainsFunc(all, func(q requirement) bool { return !q.holds(value, exists) })
}

// split takes some out.
func (all requirements) split(out func(requirement) bool) (others, of requirements) {
	for _, q := range all {
		if out(q) {
			of = append(of, q)
		} else {
			others = append(others, q)
		}
	}
	return others, of
}

func (q requirement) ofServer() bool  { return q.source == sourceReserved && q.key == serverLabel }
func (q requirement) ofCluster() bool { return q.ofKubernetes() && q.key == clusterLabel }

// asksReserved tells whether a selector is about more than pods.
func (all requirements) asksReserved() bool {
	return slices.ContainsFunc(all, func(q requirement) bool { return q.source == sourceReserved })
}

func (all requirements) asksNamespace() bool {
	return slices.ContainsFunc(all, func(q requirement) bool { return q.ofKubernetes() && q.key == namespaceLabel })
}

func (all requirements) asksCluster() bool {
	return slices.ContainsFunc(all, requirement.ofCluster)
}

func (all requirements) asksNamespaceLabels() bool {
	return slices.ContainsFunc(all, func(q requirement) bool {
		return q.ofKubernetes() && strings.HasPrefix(q.key, namespacesPrefix)
	})
}

// inNamespace keeps to a namespace, whatever namespace is in matchLabels.
func (all requirements) inNamespace(name string) requirements {
	all = slices.DeleteFunc(slices.Clone(all), func(q requirement) bool {
		return q.source == sourceK8s && q.key == namespaceLabel && q.match
	})
	return append(all, requirement{source: sourceK8s, key: namespaceLabel, operator: metav1.LabelSelectorOpIn, values: []string{name}})
}

// selector reads a selector's requirements in an order that does not depend on how
// they were written.
func (r *reader) selector(s *metav1.LabelSelector, path *field.Path) (requirements, bool) {
	var all requirements
	ok := true
	for key, value := range s.MatchLabels {
		q, valid := r.label(key, path.Child("matchLabels"))
		for _, message := range validation.IsValidLabelValue(value) {
			valid = r.fail(field.Invalid(path.Child("matchLabels"), value, message))
		}
		q.operator, q.values, q.match = metav1.LabelSelectorOpIn, []string{value}, true
		all, ok = append(all, q), ok && valid
	}
	for i, e := range s.MatchExpressions {
		path := path.Child("matchExpressions").Index(i)
		q, valid := r.label(e.Key, path.Child("key"))
		q.operator, q.values = e.Operator, e.Values
		e.Key = "checked"
		errs := metavalidation.ValidateLabelSelectorRequirement(e, metavalidation.LabelSelectorValidationOptions{}, path)
		for _, err := range errs {
			syntax.AddHint(err)
		}
		r.fail(errs...)
		all, ok = append(all, q), ok && valid && len(errs) == 0
	}
	slices.SortFunc(all, func(a, b requirement) int { return strings.Compare(a.source+":"+a.String(), b.source+":"+b.String()) })
	return all, ok
}

var labelSource = regexp.MustCompile("^[A-Za-z0-9]+$")

// label reads a key with its source.
func (r *reader) label(key string, path *field.Path) (q requirement, ok bool) {
	source, name, given := strings.Cut(key, ":")
	if !given {
		source, name = sourceAny, key
	}
	ok = true
	switch {
	case strings.Contains(name, ":"):
		return q, r.fail(field.Invalid(path, key, "must have one colon at most, between the label's source and its key"))
	case !labelSource.MatchString(source):
		ok = r.fail(field.Invalid(path, key, "must have letters and digits as its source before the colon, such as k8s:app"))
	}
	for _, message := range validation.IsQualifiedName(name) {
		ok = r.fail(field.Invalid(path, key, message))
	}
	return requirement{source: source, key: name}, ok
}

// ofThisCluster looks at what is said of the cluster: there is only this one. What
// is meant for other clusters picks nobody, or where it denies or protects,
// everybody.
func (r *reader) ofThisCluster(asked requirements, path *field.Path, wide bool) requirements {
	other := func(q requirement) bool { return q.ofCluster() && !q.holds(thisCluster, true) }
	if !slices.ContainsFunc(asked, other) {
		return asked
	}
	r.gap(path, fmt.Sprintf("other clusters are not known, and this one is taken to be called %q; what allows lets nobody in by this", thisCluster))
	if wide {
		return slices.DeleteFunc(slices.Clone(asked), requirement.ofCluster)
	}
	return asked
}
