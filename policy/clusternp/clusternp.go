// Package clusternp reads the cluster-wide policies of policy.networking.k8s.io
// into the policy model: v1alpha2 ClusterNetworkPolicy, and its older form,
// v1alpha1 AdminNetworkPolicy and BaselineAdminNetworkPolicy.
//
// It follows sigs.k8s.io/network-policy-api v0.2.0, experimental channel. Each
// reader accepts what the API's custom resource definition accepts and names
// every field that it does not, with its path. The package is pure: it keeps no
// state, does no I/O, never changes its arguments, and may be used by several
// goroutines.
//
// # What fails closed
//
// A reader returns a policy in spite of errors if it knows what the policy
// protects. As the API's documentation demands, a rule with a peer that is not
// understood matches nothing if it accepts, and else denies everything. A rule
// with ports that are not understood matches nothing if it accepts, and else
// denies its peers all ports; one with an unknown action denies what it matches.
// A caller that judges files should refuse such a policy; one that follows an
// API server, whose definitions may be newer, should report the errors and
// enforce the rest.
//
// domainNames match what pods of the policy learned of these names; they open no
// way to a resolver.
//
// # What the API leaves open
//
// Policies of one tier and priority are asked in the order of policy.Compare. A
// BaselineAdminNetworkPolicy, which has no priority, comes after all
// ClusterNetworkPolicies of the tier but those of its own priority, 1000. A
// destinationNamedPort names no protocol and stands for the destination's ports
// of that name in each.
package clusternp

import (
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// The kinds that the readers understand.
const (
	Kind         = "ClusterNetworkPolicy"
	AdminKind    = "AdminNetworkPolicy"
	BaselineKind = "BaselineAdminNetworkPolicy"
)

const (
	mostPriority     = 1000
	baselinePriority = mostPriority // of a BaselineAdminNetworkPolicy
	onlyBaseline     = "default"    // the name that it must have
)

// Read turns a ClusterNetworkPolicy into the model. The policy is nil if nobody
// knows what it protects or in which tier; its Source is for the caller to set.
func Read(object *v1alpha2.ClusterNetworkPolicy) (*policy.Policy, field.ErrorList) {
	r := newReader(&object.ObjectMeta)
	spec := &object.Spec
	r.priority(spec.Priority)
	tier, ok := tiers[spec.Tier]
	if !ok {
		r.fatal(field.NotSupported(r.spec.Child("tier"), spec.Tier, []v1alpha2.Tier{v1alpha2.AdminTier, v1alpha2.BaselineTier}))
	}
	return r.read(draft{
		kind: Kind, tier: tier.Name, priority: spec.Priority,
		subject: subject(spec.Subject.Namespaces, alpha2Pods(spec.Subject.Pods)),
		ingress: alpha2Ingress(spec.Ingress), egress: alpha2Egress(spec.Egress),
		most: 25, portsField: "protocols", allow: "Accept", pass: true,
	})
}

var tiers = map[v1alpha2.Tier]policy.Tier{
	v1alpha2.AdminTier:    policy.AdminTier,
	v1alpha2.BaselineTier: policy.BaselineTier,
}

// ReadAdmin turns an AdminNetworkPolicy into the model, as Read does.
func ReadAdmin(object *v1alpha1.AdminNetworkPolicy) (*policy.Policy, field.ErrorList) {
	r := newReader(&object.ObjectMeta)
	spec := &object.Spec
	r.priority(spec.Priority)
	return r.read(draft{
		kind: AdminKind, tier: policy.AdminTier.Name, priority: spec.Priority,
		subject: subject(spec.Subject.Namespaces, alpha1Pods(spec.Subject.Pods)),
		ingress: adminIngress(spec.Ingress), egress: adminEgress(spec.Egress),
		most: 100, portsField: "ports", allow: "Allow", pass: true,
	})
}

// ReadBaseline turns a BaselineAdminNetworkPolicy into the model, as Read does.
func ReadBaseline(object *v1alpha1.BaselineAdminNetworkPolicy) (*policy.Policy, field.ErrorList) {
	r := newReader(&object.ObjectMeta)
	spec := &object.Spec
	if object.Name != "" && object.Name != onlyBaseline {
		r.fail(field.Invalid(field.NewPath("metadata", "name"), object.Name, `must be "default": there is one BaselineAdminNetworkPolicy in a cluster`))
	}
	return r.read(draft{
		kind: BaselineKind, tier: policy.BaselineTier.Name, priority: baselinePriority,
		subject: subject(spec.Subject.Namespaces, alpha1Pods(spec.Subject.Pods)),
		ingress: baselineIngress(spec.Ingress), egress: baselineEgress(spec.Egress),
		most: 100, portsField: "ports", allow: "Allow",
	})
}

// reader reads one object and gathers what is wrong with it.
type reader struct {
	name string
	ref  policy.Ref
	spec *field.Path
	errs field.ErrorList
	gaps []policy.Gap
	lost bool // what the policy protects is not known
}

func newReader(meta *metav1.ObjectMeta) *reader {
	r := &reader{name: meta.Name, spec: field.NewPath("spec")}
	if errs := validation.ValidateObjectMeta(meta, false, validation.NameIsDNSSubdomain, field.NewPath("metadata")); len(errs) > 0 {
		r.fatal(errs...)
	}
	return r
}

// fail always returns false, for use in return statements.
func (r *reader) fail(errs ...*field.Error) bool {
	r.errs = append(r.errs, errs...)
	return false
}

func (r *reader) fatal(errs ...*field.Error) {
	r.lost = true
	r.fail(errs...)
}

func (r *reader) priority(p int32) {
	if p < 0 || p > mostPriority {
		r.fail(field.Invalid(r.spec.Child("priority"), p, "must be between 0 and 1000; the lower comes first"))
	}
}

func (r *reader) read(d draft) (*policy.Policy, field.ErrorList) {
	r.ref = policy.Ref{Dialect: policy.ClusterNetwork, Kind: d.kind, Name: r.name}
	p := &policy.Policy{
		Ref: r.ref, Tier: d.tier, Order: float64(d.priority),
	}
	path := r.spec.Child("subject")
	if r.one(path, d.subject.given(), ingress.choice) {
		chosen, ok := r.pods(d.subject, path)
		p.Subject, r.lost = *chosen, r.lost || !ok
	} else {
		r.lost = true
	}
	p.Ingress = r.rules(d, d.ingress, ingress)
	p.Egress = r.rules(d, d.egress, egress)
	p.Gaps = r.gaps
	if r.lost {
		return nil, r.errs
	}
	return p, r.errs
}
