package calico

import (
	"reflect"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// The actions of staged policies.
const (
	set     = "Set"
	deletes = "Delete"
	learn   = "Learn"
	ignore  = "Ignore"
)

// ReadStaged turns a StagedNetworkPolicy into the model. The result is nil for one
// that stages nothing, and where Read's is.
func ReadStaged(object *StagedNetworkPolicy) (*policy.Staged, field.ErrorList) {
	r := newReader(&object.ObjectMeta, true)
	p, errs := r.read(StagedKind, &object.Spec.NetworkPolicySpec, "")
	empty := reflect.DeepEqual(object.Spec.NetworkPolicySpec, NetworkPolicySpec{Tier: object.Spec.Tier})
	return r.stage(p, errs, object.Spec.StagedAction, policy.Ref{Dialect: policy.Calico, Kind: Kind}, empty)
}

// ReadStagedGlobal turns a StagedGlobalNetworkPolicy into the model, as ReadStaged
// does.
func ReadStagedGlobal(object *StagedGlobalNetworkPolicy) (*policy.Staged, field.ErrorList) {
	r := newReader(&object.ObjectMeta, false)
	p, errs := r.readGlobal(StagedGlobalKind, &object.Spec.GlobalNetworkPolicySpec)
	only := GlobalNetworkPolicySpec{NetworkPolicySpec: NetworkPolicySpec{Tier: object.Spec.Tier}}
	empty := reflect.DeepEqual(object.Spec.GlobalNetworkPolicySpec, only)
	return r.stage(p, errs, object.Spec.StagedAction, policy.Ref{Dialect: policy.Calico, Kind: GlobalKind}, empty)
}

// ReadStagedKubernetes turns a StagedKubernetesNetworkPolicy into the model, as
// ReadStaged does.
func ReadStagedKubernetes(object *StagedKubernetesNetworkPolicy) (*policy.Staged, field.ErrorList) {
	r := newReader(&object.ObjectMeta, true)
	r.errs = nil // the reader of NetworkPolicy says them too
	p, errs := k8s.Read(&networkingv1.NetworkPolicy{ObjectMeta: object.ObjectMeta, Spec: object.Spec.NetworkPolicySpec})
	if p != nil {
		p.Kind = StagedKubernetesKind
	}
	empty := reflect.DeepEqual(object.Spec.NetworkPolicySpec, networkingv1.NetworkPolicySpec{})
	return r.stage(p, errs, object.Spec.StagedAction, policy.Ref{Dialect: policy.Kubernetes, Kind: k8s.Kind}, empty)
}

// stage says what would become of the enforced policy of the same name; empty: the
// object says nothing else.
func (r *reader) stage(p *policy.Policy, errs field.ErrorList, action string, enforced policy.Ref, empty bool) (*policy.Staged, field.ErrorList) {
	enforced.Namespace, enforced.Name = r.namespace, r.name
	switch action {
	case "", set, learn:
	case deletes:
		if !empty {
			errs = append(errs, field.Forbidden(r.spec, "must have nothing but a tier where stagedAction is Delete: remove the rest"))
		}
		if p != nil {
			return &policy.Staged{Policy: p, Enforced: enforced, Deletes: true}, errs
		}
	case ignore:
		return nil, errs
	default:
		errs = append(errs, field.NotSupported(r.spec.Child("stagedAction"), action, []string{set, deletes, learn, ignore}))
	}
	if p == nil {
		return nil, errs
	}
	return &policy.Staged{Policy: p, Enforced: enforced}, errs
}
