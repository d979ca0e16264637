package convert

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico/selector"
)

// term is a condition on a label: In, NotIn, Exists or DoesNotExist. As everywhere,
// NotIn holds where there is no such label.
type term struct {
	key    string
	op     metav1.LabelSelectorOperator
	values []string
}

// who is a pod selector as conditions that must all hold.
type who struct {
	namespace          string // only this; empty: any
	pods, namespaces   []term
	accountNames       []term // with the account's name as a value
	accounts           []term // on the account's labels
	nobody, notSayable bool
	reason             string // why it is not sayable
}

var operators = map[selection.Operator]metav1.LabelSelectorOperator{
	selection.Equals: metav1.LabelSelectorOpIn, selection.DoubleEquals: metav1.LabelSelectorOpIn, selection.In: metav1.LabelSelectorOpIn,
	selection.NotEquals: metav1.LabelSelectorOpNotIn, selection.NotIn: metav1.LabelSelectorOpNotIn,
	selection.Exists: metav1.LabelSelectorOpExists, selection.DoesNotExist: metav1.LabelSelectorOpDoesNotExist,
}

// terms are a selector's conditions; ok is false if it is more than a list of
// them.
func terms(s policy.Selector) (list []term, ok bool) {
	switch s := s.(type) {
	case nil:
		return nil, true
	case labels.Selector:
		requirements, _ := s.Requirements()
		for _, r := range requirements {
			list = append(list, term{r.Key(), operators[r.Operator()], slices.Sorted(slices.Values(r.ValuesUnsorted()))})
		}
		return list, true
	case *selector.Selector:
		conditions, ok := s.Conditions()
		for _, c := range conditions {
			list = append(list, term{c.Key, c.Operator, c.Values})
		}
		return list, ok
	}
	return nil, false
}

// whoOf reads a pod selector.
func whoOf(s policy.PodSelector) who {
	w := who{namespace: s.Namespace}
	pods, ok := terms(s.Pods)
	namespaces, ok2 := terms(s.Namespaces)
	if !ok || !ok2 {
		w.notSayable, w.reason = true, "the selector is more than a list of conditions that must all hold"
		return w
	}
	w.namespaces = namespaces
	for _, t := range pods {
		w.sort(t)
	}
	w.settle()
	return w
}

// settle answers what is asked of a namespace's name that is known.
func (w *who) settle() {
	if w.namespace == "" {
		return
	}
	w.namespaces = slices.DeleteFunc(slices.Clone(w.namespaces), func(t term) bool {
		if t.key != cluster.NamespaceNameLabel {
			return false
		}
		is := t.op == metav1.LabelSelectorOpExists || t.op == metav1.LabelSelectorOpIn && slices.Contains(t.values, w.namespace) ||
			t.op == metav1.LabelSelectorOpNotIn && !slices.Contains(t.values, w.namespace)
		w.nobody = w.nobody || !is
		return true
	})
}

// sort puts a condition where it belongs. Every pod is in a namespace and has an
// account.
func (w *who) sort(t term) {
	namespaceLabel, ofNamespace := strings.CutPrefix(t.key, policy.NamespaceLabels)
	accountLabel, ofAccount := strings.CutPrefix(t.key, policy.AccountLabels)
	isName := t.key == policy.NamespaceKey || t.key == policy.AccountKey
	switch {
	case isName && t.op == metav1.LabelSelectorOpExists:
	case isName && t.op == metav1.LabelSelectorOpDoesNotExist:
		w.nobody = true
	case t.key == policy.NamespaceKey:
		w.namespaces = append(w.namespaces, term{cluster.NamespaceNameLabel, t.op, t.values})
	case t.key == policy.AccountKey:
		w.accountNames = append(w.accountNames, t)
	case ofNamespace:
		w.namespaces = append(w.namespaces, term{namespaceLabel, t.op, t.values})
	case ofAccount:
		w.accounts = append(w.accounts, term{accountLabel, t.op, t.values})
	default:
		w.pods = append(w.pods, t)
	}
}

// everyNamespace: pods of all namespaces are meant, as far as the conditions go.
func (w who) everyNamespace() bool { return w.namespace == "" && len(w.namespaces) == 0 }

// withName is the conditions on namespaces with the one on its name among them.
func (w who) withName() []term {
	if w.namespace == "" {
		return w.namespaces
	}
	return append([]term{{cluster.NamespaceNameLabel, metav1.LabelSelectorOpIn, []string{w.namespace}}}, w.namespaces...)
}

// labelSelector is conditions in the words of Kubernetes.
func labelSelector(list []term) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	for _, t := range list {
		_, taken := s.MatchLabels[t.key]
		if t.op == metav1.LabelSelectorOpIn && len(t.values) == 1 && !taken {
			if s.MatchLabels == nil {
				s.MatchLabels = map[string]string{}
			}
			s.MatchLabels[t.key] = t.values[0]
			continue
		}
		s.MatchExpressions = append(s.MatchExpressions, metav1.LabelSelectorRequirement{Key: t.key, Operator: t.op, Values: t.values})
	}
	return s
}
