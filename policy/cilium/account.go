package cilium

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// withAccount is a selector that asks for the service account besides.
type withAccount struct {
	pods    policy.Selector // nil: any
	account requirements
}

func (s *withAccount) Matches(l labels.Labels) bool {
	name, exists := l.Lookup(policy.AccountKey)
	for _, q := range s.account {
		if !q.holds(name, exists) {
			return false
		}
	}
	return s.pods == nil || s.pods.Matches(l)
}

// String is canonical: "app=web,io.cilium.k8s.policy.serviceaccount in (a,b)".
func (s *withAccount) String() string {
	var words []string
	if s.pods != nil {
		words = append(words, s.pods.String())
	}
	for _, q := range s.account {
		words = append(words, q.String())
	}
	return strings.Join(words, ",")
}

// Requirements are those on labels; all that the selector picks meet them.
func (s *withAccount) Requirements() (labels.Requirements, bool) {
	if asking, ok := s.pods.(labels.Selector); ok {
		return asking.Requirements()
	}
	return nil, true
}

// String is the requirement as label selectors are written.
func (q requirement) String() string {
	values := slices.Compact(slices.Sorted(slices.Values(q.values)))
	list := " (" + strings.Join(values, ",") + ")"
	switch q.operator {
	case metav1.LabelSelectorOpIn:
		if len(values) == 1 {
			return q.key + "=" + values[0]
		}
		return q.key + " in" + list
	case metav1.LabelSelectorOpNotIn:
		if len(values) == 1 {
			return q.key + "!=" + values[0]
		}
		return q.key + " notin" + list
	case metav1.LabelSelectorOpExists:
		return q.key
	}
	return "!" + q.key
}
