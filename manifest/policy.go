package manifest

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/manifest/document"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/clusternp"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// policyKinds are the kinds of policies and of what belongs to them. Of
// ClusterNetworkPolicy, v1beta1 is the same as v1alpha2.
var policyKinds = append([]*kind{
	policyKind("networking.k8s.io/v1", k8s.Kind, false, adding(k8s.Read)),
	policyKind("policy.networking.k8s.io/v1alpha2", clusternp.Kind, true, adding(clusternp.Read), "spec.priority"),
	policyKind("policy.networking.k8s.io/v1beta1", clusternp.Kind, true, adding(clusternp.Read), "spec.priority"),
	policyKind("policy.networking.k8s.io/v1alpha1", clusternp.AdminKind, true, adding(clusternp.ReadAdmin), "spec.priority"),
	policyKind("policy.networking.k8s.io/v1alpha1", clusternp.BaselineKind, true, adding(clusternp.ReadBaseline)),
}, slices.Concat(calicoKinds(), ciliumKinds())...)

// adder reads an object into the set, and says what of it is not enforced. In
// spite of errors the set gets what can be enforced of it.
type adder[T any] func(*policy.Set, *T, policy.Source) ([]policy.Gap, field.ErrorList)

// policyKind is a kind whose reader knows what an object must have, but for fields
// that cannot be told from their zero value once they are decoded.
func policyKind[T any, O apiObject[T]](apiVersion, name string, clusterWide bool, add adder[T], required ...string) *kind {
	return &kind{
		typeMeta: typeMeta{apiVersion, name}, clusterWide: clusterWide,
		empty: func() metav1.Object { return O(new(T)) },
		decode: func(n *document.Node) (metav1.Object, []document.Problem) {
			object := new(T)
			return O(object), decodePolicy(n, object, required)
		},
		policy: func(set *policy.Set, object metav1.Object, source policy.Source) ([]policy.Gap, field.ErrorList) {
			return add(set, (*T)(object.(O)), source)
		},
	}
}

func adding[T any](read func(*T) (*policy.Policy, field.ErrorList)) adder[T] {
	return func(set *policy.Set, object *T, source policy.Source) ([]policy.Gap, field.ErrorList) {
		p, errs := read(object)
		if p == nil {
			return nil, errs
		}
		p.Source = source
		set.Add(p)
		return p.Gaps, errs
	}
}

// decodePolicy is strict: a policy that says something else than its author
// meant is worse than none. A status is for others to read.
func decodePolicy(n *document.Node, target any, required []string) []document.Problem {
	problems := document.Decode(n.Without("status"), target)
	for _, path := range required {
		at := n
		for _, name := range strings.Split(path, ".") {
			at = at.Get(name)
		}
		if at == nil {
			problems = append(problems, document.Problem{Line: n.LineOf(path), Path: path, Message: "Required value: it has no default"})
		}
	}
	return problems
}

func (b *builder) addPolicies() {
	for _, o := range b.objects {
		if o.kind.policy == nil {
			continue
		}
		gaps, errs := o.kind.policy(b.bundle.Policies, o.body, o.Source)
		b.failFields(o, "", errs)
		for _, gap := range gaps {
			b.bundle.Warnings = append(b.bundle.Warnings, &Error{
				File: o.Source.File, Line: o.node.LineOf(gap.Field), Object: o.String(), Field: gap.Field, Message: gap.Reason,
			})
		}
	}
	b.checkTiers()
}

// checkTiers: nobody knows when a policy without its tier would be asked.
func (b *builder) checkTiers() {
	set := b.bundle.Policies
	check := func(p *policy.Policy) {
		if _, exists := set.Tiers[p.Tier]; exists {
			return
		}
		if o := b.byKey[key{calicoGroup, p.Kind, p.Namespace, p.Name}]; o != nil {
			b.failAt(o, "spec.tier", "%s", fmt.Sprintf("Not found: %q: there is no Tier of that name: add one, or use another tier", p.Tier))
		}
	}
	for _, p := range set.Policies {
		check(p)
	}
	for _, s := range set.Staged {
		check(s.Policy)
	}
}
