package syntax

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Selector reads a label selector. It is nil for an absent and for an empty one:
// neither rules anything out.
func Selector(s *metav1.LabelSelector, path *field.Path) (policy.Selector, field.ErrorList) {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return nil, nil
	}
	if errs := validation.ValidateLabelSelector(s, validation.LabelSelectorValidationOptions{}, path); len(errs) > 0 {
		for _, e := range errs {
			AddHint(e)
		}
		return nil, errs
	}
	requirements, err := requirements(s)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(path, metav1.FormatLabelSelector(s), err.Error())}
	}
	return labels.NewSelector().Add(requirements...), nil
}

var operators = map[metav1.LabelSelectorOperator]selection.Operator{
	metav1.LabelSelectorOpIn:           selection.In,
	metav1.LabelSelectorOpNotIn:        selection.NotIn,
	metav1.LabelSelectorOpExists:       selection.Exists,
	metav1.LabelSelectorOpDoesNotExist: selection.DoesNotExist,
}

// requirements are the selector's in canonical order and form, so that
// selectors written differently but plainly equal have equal strings and become
// one matcher.
func requirements(s *metav1.LabelSelector) ([]labels.Requirement, error) {
	var all []labels.Requirement
	add := func(key string, operator selection.Operator, values ...string) error {
		requirement, err := canonical(key, operator, values)
		if err == nil {
			all = append(all, *requirement)
		}
		return err
	}
	for key, value := range s.MatchLabels {
		if err := add(key, selection.Equals, value); err != nil {
			return nil, err
		}
	}
	for _, e := range s.MatchExpressions {
		if err := add(e.Key, operators[e.Operator], e.Values...); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b labels.Requirement) int {
		if c := strings.Compare(a.Key(), b.Key()); c != 0 {
			return c
		}
		return strings.Compare(a.String(), b.String())
	})
	return slices.CompactFunc(all, func(a, b labels.Requirement) bool { return a.String() == b.String() }), nil
}

func canonical(key string, operator selection.Operator, values []string) (*labels.Requirement, error) {
	values = slices.Clone(values)
	slices.Sort(values)
	values = slices.Compact(values)
	if len(values) == 1 {
		switch operator {
		case selection.In:
			operator = selection.Equals
		case selection.NotIn:
			operator = selection.NotEquals
		}
	}
	return labels.NewRequirement(key, operator, values)
}

// AddHint completes a message of the API server's own validation with a way
// out, where it has none.
func AddHint(e *field.Error) {
	switch {
	case strings.HasSuffix(e.Field, ".operator"):
		e.Detail += ": use In, NotIn, Exists or DoesNotExist"
		if name := operatorNamed(fmt.Sprint(e.BadValue)); name != "" {
			e.Detail += fmt.Sprintf(", here probably %s", name)
		}
	case strings.HasSuffix(e.Field, ".values") && e.Type == field.ErrorTypeRequired:
		e.Detail += ": list at least one, or use Exists or DoesNotExist"
	case strings.HasSuffix(e.Field, ".values") && e.Type == field.ErrorTypeForbidden:
		e.Detail += ": remove them, or use In or NotIn"
	}
}

// operatorNamed is the operator that somebody meant, if only its case differs.
func operatorNamed(written string) string {
	for operator := range operators {
		if strings.EqualFold(written, string(operator)) {
			return string(operator)
		}
	}
	return ""
}
