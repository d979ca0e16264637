// Package k8s reads networking.k8s.io/v1 NetworkPolicy objects into the policy
// model.
//
// Read accepts what the API server accepts and names every field that it does
// not, with its API path. It is one object's affair: an error in one policy says
// nothing of another. The package is pure: it keeps no state, does no I/O, never
// changes its argument, and may be used by several goroutines.
package k8s

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

// Kind is the kind of the objects that Read understands.
const Kind = "NetworkPolicy"

// Read turns a NetworkPolicy into the model. Without errors the policy is
// complete; its Source is for the caller to set.
//
// With errors it lacks what was not understood, always on the side of denying:
// an invalid peer or port matches nothing, and the rules beside it stand. It is
// nil if its name or its subject is invalid, for then nobody knows what it
// protects. A caller that judges files should refuse it; one that follows the
// API server, whose older versions accepted more, should report the errors and
// enforce the rest.
func Read(object *networkingv1.NetworkPolicy) (*policy.Policy, field.ErrorList) {
	errs := validation.ValidateObjectMeta(&object.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	spec, path := &object.Spec, field.NewPath("spec")
	r := &reader{namespace: object.Namespace}
	subject, ok := r.selector(&spec.PodSelector, path.Child("podSelector"))
	nameless := len(errs) > 0
	ingress, egress := r.directions(spec, path)
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: Kind, Namespace: object.Namespace, Name: object.Name},
		Tier:    policy.NetworkPolicyTier.Name,
		Order:   policy.NetworkPolicyOrder,
		Subject: policy.PodSelector{Namespace: object.Namespace, Pods: subject},
	}
	rules := r.ingress(spec.Ingress, path.Child("ingress"))
	if ingress {
		p.Ingress = &policy.Rules{Isolates: true, Rules: rules}
	}
	rules = r.egress(spec.Egress, path.Child("egress"))
	if egress {
		p.Egress = &policy.Rules{Isolates: true, Rules: rules}
	}
	errs = append(errs, r.errs...)
	if nameless || !ok {
		return nil, errs
	}
	return p, errs
}

// reader reads one object and gathers what is wrong with it.
type reader struct {
	namespace string
	errs      field.ErrorList
}

// fail always returns false, for use in return statements.
func (r *reader) fail(errs ...*field.Error) bool {
	r.errs = append(r.errs, errs...)
	return false
}

// directions are those that the policy speaks of. Rules of a direction that
// policyTypes leaves out are without effect.
func (r *reader) directions(spec *networkingv1.NetworkPolicySpec, path *field.Path) (ingress, egress bool) {
	path = path.Child("policyTypes")
	if len(spec.PolicyTypes) == 0 {
		return true, len(spec.Egress) > 0
	}
	allowed := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	if len(spec.PolicyTypes) > len(allowed) {
		r.fail(field.TooMany(path, len(spec.PolicyTypes), len(allowed)))
	}
	for i, t := range spec.PolicyTypes {
		if !slices.Contains(allowed, t) {
			r.fail(field.NotSupported(path.Index(i), t, allowed))
		}
	}
	return slices.Contains(spec.PolicyTypes, allowed[0]), slices.Contains(spec.PolicyTypes, allowed[1])
}

func (r *reader) ingress(rules []networkingv1.NetworkPolicyIngressRule, path *field.Path) []policy.Rule {
	read := make([]policy.Rule, 0, len(rules))
	for i, rule := range rules {
		at := path.Index(i)
		read = append(read, r.rule(rule.From, at.Child("from"), rule.Ports, at.Child("ports")))
	}
	return read
}

func (r *reader) egress(rules []networkingv1.NetworkPolicyEgressRule, path *field.Path) []policy.Rule {
	read := make([]policy.Rule, 0, len(rules))
	for i, rule := range rules {
		at := path.Index(i)
		read = append(read, r.rule(rule.To, at.Child("to"), rule.Ports, at.Child("ports")))
	}
	return read
}

func (r *reader) rule(
	peers []networkingv1.NetworkPolicyPeer, peersPath *field.Path,
	ports []networkingv1.NetworkPolicyPort, portsPath *field.Path,
) policy.Rule {
	rule := policy.Rule{Action: policy.Allow, AnyPeer: len(peers) == 0, AnyPort: len(ports) == 0}
	for i := range peers {
		if peer, ok := r.peer(&peers[i], peersPath.Index(i)); ok {
			rule.Peers = append(rule.Peers, peer)
		}
	}
	for i := range ports {
		if port, ok := r.port(&ports[i], portsPath.Index(i)); ok {
			rule.Ports = append(rule.Ports, port)
		}
	}
	return rule
}

func (r *reader) peer(peer *networkingv1.NetworkPolicyPeer, path *field.Path) (policy.Peer, bool) {
	selects := peer.PodSelector != nil || peer.NamespaceSelector != nil
	switch {
	case peer.IPBlock != nil && selects:
		return policy.Peer{}, r.fail(field.Forbidden(path, "may not specify both ipBlock and another peer: make them two entries of the list"))
	case peer.IPBlock != nil:
		cidr, ok := r.ipBlock(peer.IPBlock, path.Child("ipBlock"))
		return policy.Peer{CIDR: cidr}, ok
	case selects:
		pods, ok := r.pods(peer.PodSelector, peer.NamespaceSelector, path)
		return policy.Peer{Pods: pods}, ok
	}
	return policy.Peer{}, r.fail(field.Required(path, "must specify a peer: podSelector, namespaceSelector or ipBlock (podSelector: {} is every pod of this namespace)"))
}

func (r *reader) pods(pods, namespaces *metav1.LabelSelector, path *field.Path) (*policy.PodSelector, bool) {
	podSelector, podsOK := r.selector(pods, path.Child("podSelector"))
	namespaceSelector, namespacesOK := r.selector(namespaces, path.Child("namespaceSelector"))
	s := &policy.PodSelector{Namespaces: namespaceSelector, Pods: podSelector}
	if namespaces == nil {
		s.Namespace = r.namespace
	}
	return s, podsOK && namespacesOK
}

func (r *reader) selector(s *metav1.LabelSelector, path *field.Path) (policy.Selector, bool) {
	selector, errs := syntax.Selector(s, path)
	return selector, len(errs) == 0 || r.fail(errs...)
}
