// Package cilium reads Cilium's policies into the policy model:
// CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and CiliumCIDRGroup of
// cilium.io/v2.
//
// It follows Cilium 1.20.2: what its custom resource definitions accept and what
// the agent makes of it in its default configuration; of older releases it knows
// the fields that 1.20 dropped, and CiliumCIDRGroup of v2alpha1. The types are our
// own, of what the API has. Each reader names every field that it does not accept,
// with its path. The package is pure: it keeps no state, does no I/O, never
// changes its arguments, and may be used by several goroutines.
//
// # Labels and entities
//
// Cilium selects by labels that it gives to everything. Here a selector becomes
// what it picks of each kind: pods, the pod's own node (reserved:host), other
// nodes (reserved:remote-node), and what is outside the cluster (reserved:world).
// A pod's namespace, its namespace's labels and its service account are where
// Cilium has them as labels; there is one cluster, called "default". Labels that
// Cilium leaves out of identities, such as pod-template-hash, are seen like all
// others. There are no endpoints of the entities init, health, ingress and
// unmanaged, and nobody is picked by them. Addresses of nodes and pods are never
// outside the cluster, and blocks match only what is. The API server is what the
// service default/kubernetes leads to.
//
// # What differs from Cilium
//
// Test module test/cilium compares with Cilium's own packages, and shows these to be
// so. Traffic from a pod's own node is always let in, although a rule in ingressDeny
// names it; such a rule is one of the policy's Gaps. ICMP type 0 is only that type,
// where Cilium takes it for all types. A service means its ready backends that are
// not on their node's network; one that does not exist is nobody, where Cilium takes
// a rule without any for one to everybody. An empty cidrGroupSelector is everything
// outside, where Cilium takes it for everybody. A port's name stands for the ports of all
// of a pod's containers that share it.
//
// # What fails closed
//
// A part of a rule that is not enforced is one of the policy's Gaps, and one that
// is not understood is an error. In both cases what allows matches nothing by that
// part, and what denies does so without regard to it; a rule of which nobody knows
// the ends denies everything.
//
// Not enforced are groups of a cloud provider, authentication, TLS, listeners,
// and values of headers that are in secrets.
package cilium

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// The kinds that the readers understand.
const (
	Kind            = "CiliumNetworkPolicy"
	ClusterwideKind = "CiliumClusterwideNetworkPolicy"
	CIDRGroupKind   = "CiliumCIDRGroup"
)

// Read turns a CiliumNetworkPolicy into the model: a policy for its spec and one
// for each of its specs, without those of which nobody knows what they protect.
// Their Source is for the caller to set.
func Read(object *NetworkPolicy) ([]*policy.Policy, field.ErrorList) {
	return read(Kind, &object.ObjectMeta, object.Spec, object.Specs)
}

// ReadClusterwide turns a CiliumClusterwideNetworkPolicy into the model, as Read
// does.
func ReadClusterwide(object *ClusterwideNetworkPolicy) ([]*policy.Policy, field.ErrorList) {
	return read(ClusterwideKind, &object.ObjectMeta, object.Spec, object.Specs)
}

func read(kind string, meta *metav1.ObjectMeta, spec *Rule, specs []Rule) ([]*policy.Policy, field.ErrorList) {
	namespaced := kind == Kind
	errs := validation.ValidateObjectMeta(meta, namespaced, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	if len(errs) > 0 {
		return nil, errs
	}
	ref := policy.Ref{Dialect: policy.Cilium, Kind: kind, Namespace: meta.Namespace, Name: meta.Name}
	var policies []*policy.Policy
	add := func(spec *Rule, path *field.Path) {
		r := &reader{ref: ref, spec: path}
		p := r.read(spec)
		if errs = append(errs, r.errs...); p != nil {
			policies = append(policies, p)
		}
	}
	if spec == nil && specs == nil {
		return nil, field.ErrorList{field.Required(field.NewPath("spec"), "give spec, or specs for several policies in one")}
	}
	if spec != nil {
		add(spec, field.NewPath("spec"))
	}
	for i := range specs {
		ref.Part = fmt.Sprintf("specs[%d]", i)
		add(&specs[i], field.NewPath("specs").Index(i))
	}
	return policies, errs
}

// reader reads one policy and gathers what is wrong with it.
type reader struct {
	ref  policy.Ref
	spec *field.Path
	errs field.ErrorList
	gaps []policy.Gap
	host bool // it protects nodes
}

// fail always returns false, for use in return statements.
func (r *reader) fail(errs ...*field.Error) bool {
	r.errs = append(r.errs, errs...)
	return false
}

func (r *reader) gap(path *field.Path, reason string) {
	r.gaps = append(r.gaps, policy.Gap{Field: path.String(), Reason: reason})
}

func (r *reader) read(spec *Rule) *policy.Policy {
	p := &policy.Policy{Ref: r.ref, Tier: policy.NetworkPolicyTier.Name}
	if len(spec.Ingress)+len(spec.IngressDeny)+len(spec.Egress)+len(spec.EgressDeny) == 0 {
		r.fail(field.Required(r.spec, "give at least one rule in ingress, ingressDeny, egress or egressDeny; ingress: [{}] only isolates"))
	}
	r.checkLog(spec)
	protects, known := r.subject(p, spec)
	r.host = spec.NodeSelector != nil
	p.Ingress = r.rules(spec, true)
	p.Egress = r.rules(spec, false)
	if !protects {
		p.Ingress, p.Egress = nil, nil
	}
	p.Gaps = r.gaps
	if !known {
		return nil
	}
	return p
}

func (r *reader) checkLog(spec *Rule) {
	const longest = 32
	if len(spec.Log.Value) > longest {
		r.fail(field.TooLong(r.spec.Child("log", "value"), spec.Log.Value, longest))
	}
	for i, l := range spec.Labels {
		if l.Key == "" {
			r.fail(field.Required(r.spec.Child("labels").Index(i).Child("key"), "give the label a key"))
		}
	}
}

// subject is what the policy protects; protects is false if that is nobody, known
// if nobody can tell.
func (r *reader) subject(p *policy.Policy, spec *Rule) (protects, known bool) {
	endpoints, nodes := r.spec.Child("endpointSelector"), r.spec.Child("nodeSelector")
	switch {
	case spec.EndpointSelector == nil && spec.NodeSelector == nil:
		return false, r.fail(field.Required(endpoints, "say what the policy protects; {} is every pod"))
	case spec.EndpointSelector != nil && spec.NodeSelector != nil:
		return false, r.fail(field.Forbidden(nodes, "cannot be given along with endpointSelector: make two policies"))
	case spec.NodeSelector != nil && r.ref.Namespace != "":
		return false, r.fail(field.Forbidden(nodes, "is for "+ClusterwideKind+" only"))
	case spec.NodeSelector != nil:
		return r.hosts(p, spec.NodeSelector, nodes)
	}
	asked, ok := r.selector(spec.EndpointSelector, endpoints)
	if !ok {
		return false, false
	}
	if r.ref.Namespace != "" {
		asked = asked.inNamespace(r.ref.Namespace)
	}
	asked = r.ofThisCluster(asked, endpoints, true)
	left, picks := asked.of(pod)
	if !picks {
		return false, true
	}
	p.Subject, ok = r.podSelector(left, endpoints)
	return ok, ok
}

// hosts is the subject of a policy on nodes.
func (r *reader) hosts(p *policy.Policy, s *metav1.LabelSelector, path *field.Path) (protects, known bool) {
	asked, ok := r.selector(s, path)
	if !ok {
		return false, false
	}
	p.Subject, p.Hosts = policy.NoPods(), &policy.HostSubject{Nodes: true}
	left, picks := asked.of(ownNode)
	if !picks {
		return false, true
	}
	p.Hosts.Hosts, ok = r.nodeSelector(left, path)
	return ok, ok
}

// rules are nil for a direction without rules, of which the policy says nothing.
// What allows comes first, so that its rules have the numbers of the API's lists.
func (r *reader) rules(spec *Rule, ingress bool) *policy.Rules {
	drafts, isolates := r.ingressDrafts(spec), spec.EnableDefaultDeny.Ingress
	if !ingress {
		drafts, isolates = r.egressDrafts(spec), spec.EnableDefaultDeny.Egress
	}
	if len(drafts) == 0 {
		return nil
	}
	rules := &policy.Rules{Isolates: isolates == nil || *isolates}
	for i, d := range drafts {
		for _, rule := range r.rule(d) {
			if d.deny || len(rules.Rules) != i {
				rule.Name = d.name
			}
			rules.Rules = append(rules.Rules, rule)
		}
	}
	return rules
}
