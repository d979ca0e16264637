package manifest

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/manifest/document"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/clusternp"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// policyKinds are the kinds of policies. Of ClusterNetworkPolicy, v1beta1 is the
// same as v1alpha2.
var policyKinds = []*kind{
	policyKind("networking.k8s.io/v1", k8s.Kind, false, k8s.Read),
	policyKind("policy.networking.k8s.io/v1alpha2", clusternp.Kind, true, clusternp.Read, "spec.priority"),
	policyKind("policy.networking.k8s.io/v1beta1", clusternp.Kind, true, clusternp.Read, "spec.priority"),
	policyKind("policy.networking.k8s.io/v1alpha1", clusternp.AdminKind, true, clusternp.ReadAdmin, "spec.priority"),
	policyKind("policy.networking.k8s.io/v1alpha1", clusternp.BaselineKind, true, clusternp.ReadBaseline),
}

// policyKind is a kind whose reader knows what a policy must have, but for fields
// that cannot be told from their zero value once they are decoded.
func policyKind[T any, O apiObject[T]](
	apiVersion, name string, clusterWide bool, read func(*T) (*policy.Policy, field.ErrorList), required ...string,
) *kind {
	return &kind{
		typeMeta: typeMeta{apiVersion, name}, clusterWide: clusterWide,
		decode: func(n *document.Node) (metav1.Object, []document.Problem) {
			object := new(T)
			return O(object), decodePolicy(n, object, required)
		},
		policy: func(set *policy.Set, object metav1.Object, source policy.Source) ([]policy.Gap, field.ErrorList) {
			p, errs := read((*T)(object.(O)))
			if len(errs) > 0 {
				return nil, errs
			}
			p.Source = source
			set.Add(p)
			return p.Gaps, nil
		},
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
