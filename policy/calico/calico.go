// Package calico reads Calico's policies into the policy model: NetworkPolicy,
// GlobalNetworkPolicy, their staged forms, Tier, NetworkSet, GlobalNetworkSet and
// HostEndpoint, of projectcalico.org/v3 and crd.projectcalico.org/v1 alike.
//
// It follows the API types of projectcalico/calico of 2026, with the selectors
// and the conversion of rules as Felix has them; the types are our own, of what
// the API has. Each reader accepts what the API's validation accepts and names
// every field that it does not, with its path. The package is pure: it keeps no
// state, does no I/O, never changes its arguments, and may be used by several
// goroutines.
//
// # Selectors
//
// Labels of the namespace and of the service account are asked under the keys
// of policy.Labels, whatever Calico calls them in the field at hand. A rule's
// selector picks pods, sets of networks and the addresses that host endpoints
// expect, by one expression; notSelector leaves out the same, of all namespaces.
//
// # What fails closed
//
// A part of a rule that is not enforced is one of the policy's Gaps, and one that
// is not understood is an error. In both cases a rule that allows or logs matches
// nothing, and one that denies or passes denies whatever its other parts match;
// all, if its ends are not understood.
//
// Not enforced are source ports. Policies with doNotTrack are
// enforced with tracking: verdicts are the same, and replies pass without a rule.
//
// # Hosts
//
// A HostEndpoint is read twice: ReadHostEndpoint gives the addresses that rules'
// selectors find it by, ReadHost the host that policies protect. The profile
// projectcalico-default-allow leaves open what no policy decides, no other
// profile is known. How hosts work follows the pages on host endpoints of Calico's
// documentation (3.32) and Felix' rules; what pods of a node send to the node
// itself passes an endpoint of all devices ("*") and no other.
package calico

import (
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico/selector"
)

// The kinds that the readers understand.
const (
	Kind                 = "NetworkPolicy"
	GlobalKind           = "GlobalNetworkPolicy"
	StagedKind           = "StagedNetworkPolicy"
	StagedGlobalKind     = "StagedGlobalNetworkPolicy"
	StagedKubernetesKind = "StagedKubernetesNetworkPolicy"
	TierKind             = "Tier"
	NetworkSetKind       = "NetworkSet"
	GlobalNetworkSetKind = "GlobalNetworkSet"
	HostEndpointKind     = "HostEndpoint"
)

const mostRules = 1024 // of a direction

// Read turns a NetworkPolicy into the model. The policy is nil if nobody knows
// what it protects; its Source is for the caller to set.
func Read(object *NetworkPolicy) (*policy.Policy, field.ErrorList) {
	r := newReader(&object.ObjectMeta, true)
	return r.read(Kind, &object.Spec, "")
}

// ReadGlobal turns a GlobalNetworkPolicy into the model, as Read does.
func ReadGlobal(object *GlobalNetworkPolicy) (*policy.Policy, field.ErrorList) {
	r := newReader(&object.ObjectMeta, false)
	return r.readGlobal(GlobalKind, &object.Spec)
}

// reader reads one object and gathers what is wrong with it.
type reader struct {
	namespace, name string
	spec            *field.Path
	errs            field.ErrorList
	gaps            []policy.Gap
	lost            bool // what the policy protects is not known
}

func newReader(meta *metav1.ObjectMeta, namespaced bool) *reader {
	r := &reader{namespace: meta.Namespace, name: meta.Name, spec: field.NewPath("spec")}
	if errs := validation.ValidateObjectMeta(meta, namespaced, validation.NameIsDNSSubdomain, field.NewPath("metadata")); len(errs) > 0 {
		r.lost = true
		r.fail(errs...)
	}
	return r
}

// fail always returns false, for use in return statements.
func (r *reader) fail(errs ...*field.Error) bool {
	r.errs = append(r.errs, errs...)
	return false
}

func (r *reader) gap(path *field.Path, reason string) {
	r.gaps = append(r.gaps, policy.Gap{Field: path.String(), Reason: reason})
}

func (r *reader) readGlobal(kind string, spec *GlobalNetworkPolicySpec) (*policy.Policy, field.ErrorList) {
	r.checkHost(spec)
	p, errs := r.read(kind, &spec.NetworkPolicySpec, spec.NamespaceSelector)
	if p == nil {
		return nil, errs
	}
	p.Hosts = &policy.HostSubject{Hosts: p.Subject.Pods, Forward: spec.ApplyOnForward}
	switch {
	case spec.DoNotTrack:
		p.Hosts.Stage, p.Subject = policy.Untracked, policy.NoPods()
		p.Gaps = append(p.Gaps, policy.Gap{
			Field:  r.spec.Child("doNotTrack").String(),
			Reason: "the policy is enforced with connection tracking: verdicts are as written, and replies pass without a rule of their own",
		})
	case spec.PreDNAT:
		p.Hosts.Stage, p.Subject = policy.PreTranslation, policy.NoPods()
	}
	p.Gaps = append(p.Gaps, r.blindSpots(p)...)
	return p, errs
}

// blindSpots are where hosts cannot tell what a rule asks of its own end: only
// the host's own addresses are known there.
func (r *reader) blindSpots(p *policy.Policy) []policy.Gap {
	if !p.Hosts.Forward {
		return nil
	}
	var gaps []policy.Gap
	for _, d := range []struct {
		rules *policy.Rules
		path  *field.Path
	}{
		{p.Ingress, r.spec.Child("ingress")}, {p.Egress, r.spec.Child("egress")},
	} {
		if d.rules == nil {
			continue
		}
		own := map[bool]string{true: "destination", false: "source"}[d.rules == p.Ingress]
		for i, rule := range d.rules.Rules {
			if len(rule.Self) > 0 {
				gaps = append(gaps, policy.Gap{Field: d.path.Index(i).Child(own).String(), Reason: "what a host passes on is not " +
					"asked for it: there an Allow or Log with it matches nothing, a Deny or Pass denies without regard to it"})
			}
		}
	}
	return gaps
}

// checkHost validates the fields that only mean something for hosts.
func (r *reader) checkHost(spec *GlobalNetworkPolicySpec) {
	if spec.DoNotTrack && spec.PreDNAT {
		r.fail(field.Forbidden(r.spec.Child("doNotTrack"), "preDNAT and doNotTrack cannot both be true: make two policies"))
	}
	if spec.PreDNAT && len(spec.Egress) > 0 {
		r.fail(field.Forbidden(r.spec.Child("egress"), "a preDNAT policy cannot have egress rules: move them to another policy"))
	}
	if spec.PreDNAT && slices.Contains(spec.Types, egressType) {
		r.fail(field.Forbidden(r.spec.Child("types"), "a preDNAT policy cannot have type Egress: remove it"))
	}
	if (spec.PreDNAT || spec.DoNotTrack) && !spec.ApplyOnForward {
		r.fail(field.Invalid(r.spec.Child("applyOnForward"), false, "must be true where preDNAT or doNotTrack is"))
	}
}

func (r *reader) read(kind string, spec *NetworkPolicySpec, namespaces string) (*policy.Policy, field.ErrorList) {
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Calico, Kind: kind, Namespace: r.namespace, Name: r.name},
		Tier:    TierName(spec.Tier),
		Order:   math.Inf(1),
		Subject: policy.PodSelector{Namespace: r.namespace},
	}
	if spec.Order != nil {
		p.Order = *spec.Order
	}
	r.subject(p, spec, namespaces)
	ingress, egress := r.directions(spec)
	rules := r.rules(spec.Ingress, r.spec.Child("ingress"), true)
	if ingress {
		p.Ingress = &policy.Rules{Isolates: true, Rules: rules}
	}
	rules = r.rules(spec.Egress, r.spec.Child("egress"), false)
	if egress {
		p.Egress = &policy.Rules{Isolates: true, Rules: rules}
	}
	p.Gaps = r.gaps
	if r.lost {
		return nil, r.errs
	}
	return p, r.errs
}

func (r *reader) subject(p *policy.Policy, spec *NetworkPolicySpec, namespaces string) {
	parts := []*selector.Selector{}
	for _, s := range []struct {
		text, field string
		of          scope
	}{
		{spec.Selector, "selector", endpoints},
		{spec.ServiceAccountSelector, "serviceAccountSelector", accounts},
		{namespaces, "namespaceSelector", inNamespaces},
	} {
		parsed, ok := r.selector(s.text, r.spec.Child(s.field), s.of)
		if r.lost = r.lost || !ok; ok {
			parts = append(parts, parsed)
		}
	}
	if all := selector.And(parts...); !all.PicksAll() {
		p.Subject.Pods = all
	}
}

const (
	ingressType = "Ingress"
	egressType  = "Egress"
)

// directions are those that the policy speaks of. Rules of a direction that types
// leaves out are without effect.
func (r *reader) directions(spec *NetworkPolicySpec) (ingress, egress bool) {
	path := r.spec.Child("types")
	for i, t := range spec.Types {
		if t != ingressType && t != egressType {
			r.fail(field.NotSupported(path.Index(i), t, []string{ingressType, egressType}))
		} else if slices.Index(spec.Types, t) < i {
			r.fail(field.Duplicate(path.Index(i), t))
		}
	}
	if len(spec.Types) == 0 {
		return len(spec.Ingress) > 0 || len(spec.Egress) == 0, len(spec.Egress) > 0
	}
	return slices.Contains(spec.Types, ingressType), slices.Contains(spec.Types, egressType)
}

// TierName is the model's name of a tier.
func TierName(name string) string {
	switch name {
	case "", "default":
		return policy.NetworkPolicyTier.Name
	case "kube-admin", "adminnetworkpolicy":
		return policy.AdminTier.Name
	case "kube-baseline", "baselineadminnetworkpolicy":
		return policy.BaselineTier.Name
	}
	return name
}

// selector reads a selector of a field; an empty one picks everything there.
func (r *reader) selector(text string, path *field.Path, of scope) (*selector.Selector, bool) {
	const longest = 1024
	if len(text) > longest {
		r.fail(field.TooLong(path, "", longest))
	}
	if strings.Contains(text, "global(") && of != entityNamespaces {
		return nil, r.fail(field.Invalid(path, text, "global() can only be used in the namespaceSelector of a rule's source or destination"))
	}
	parsed, err := selector.Parse(text)
	if err != nil {
		return nil, r.fail(field.Invalid(path, text, err.Error()))
	}
	if text == "" {
		return parsed, true
	}
	return of.read(parsed), true
}
