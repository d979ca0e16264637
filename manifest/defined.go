package manifest

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Defined is a kind of policy, or of what belongs to policies, that a cluster
// has only where a CustomResourceDefinition for it is installed.
type Defined struct {
	Group, Kind string
	Resource    string   // the kind's plural, in the URL
	Versions    []string // that can be read, the preferred one first
	kinds       []*kind  // of the versions
}

// DefinedKinds are all of them. Of two groups that know the same policies, the
// preferred one comes first.
func DefinedKinds() []Defined {
	var all []Defined
	for _, k := range policyKinds {
		version, err := schema.ParseGroupVersion(k.APIVersion)
		if err != nil || strings.HasPrefix(k.APIVersion, "networking.k8s.io/") {
			continue // which every API server has
		}
		same := func(d Defined) bool { return d.Group == version.Group && d.Kind == k.Kind }
		i := slices.IndexFunc(all, same)
		if i < 0 {
			plural, _ := meta.UnsafeGuessKindToResource(version.WithKind(k.Kind))
			all = append(all, Defined{Group: version.Group, Kind: k.Kind, Resource: plural.Resource})
			i = len(all) - 1
		}
		all[i].Versions = append(all[i].Versions, version.Version)
		all[i].kinds = append(all[i].kinds, k)
	}
	return all
}

// New makes an empty object of the kind's API type.
func (d *Defined) New() metav1.Object { return d.kinds[0].empty() }

// ClusterWide tells whether objects of the kind are in no namespace.
func (d *Defined) ClusterWide() bool { return d.kinds[0].clusterWide }

// Conditions tells whether objects of the kind have a status with conditions.
func (d *Defined) Conditions() bool { return d.Group == "policy.networking.k8s.io" }

// Reading is what was understood of an object.
type Reading struct {
	Set  *policy.Set // of what the object alone says; tiers that are always there are not in it
	Gaps []policy.Gap
	Errs field.ErrorList
}

// Read reads an object that an API server gave, as JSON. What is wrong with it
// does not keep what can be enforced of it out of the reading. A field of its
// rules that nobody knows closes the rules: it would have narrowed them.
func (d *Defined) Read(apiVersion string, object []byte) Reading {
	r := Reading{Set: &policy.Set{
		Tiers: map[string]policy.Tier{}, Policies: map[policy.Ref]*policy.Policy{}, Networks: map[policy.Ref]*policy.Networks{},
		Hosts: map[policy.Ref]*policy.Host{}, Staged: map[policy.Ref]*policy.Staged{},
	}}
	i := slices.IndexFunc(d.kinds, func(k *kind) bool { return k.APIVersion == apiVersion })
	if i < 0 {
		r.Errs = append(r.Errs, field.NotSupported(field.NewPath("apiVersion"), apiVersion, d.Versions))
		return r
	}
	k := d.kinds[i]
	body := k.empty()
	unknown, err := kjson.UnmarshalStrict(object, body)
	if err != nil {
		r.Errs = append(r.Errs, undecodable(err))
		return r
	}
	if k.restored != nil {
		if err := k.restored(body); err != nil {
			r.Errs = append(r.Errs, err)
		}
	}
	var errs field.ErrorList
	r.Gaps, errs = k.policy(r.Set, body, policy.Source{})
	r.Errs = append(r.Errs, errs...)
	r.close(unknown)
	return r
}

func undecodable(err error) *field.Error {
	var at kjson.FieldError
	path := "spec"
	if errors.As(err, &at) && at.FieldPath() != "" {
		path = at.FieldPath()
	}
	return &field.Error{Type: field.ErrorTypeTypeInvalid, Field: path, BadValue: "", Detail: err.Error()}
}

// inRules is a field of a direction's rules.
var inRules = regexp.MustCompile(`^specs?(?:\[\d+\])?\.(ingress|egress)(?:Deny)?\[`)

// close takes from policies what fields would have narrowed that are not known.
func (r *Reading) close(unknown []error) {
	for _, err := range unknown {
		var at kjson.FieldError
		if !errors.As(err, &at) || !strings.HasPrefix(at.FieldPath(), "spec") {
			continue // metadata and status are for others
		}
		detail := "this field is not known"
		if m := inRules.FindStringSubmatch(at.FieldPath()); m != nil {
			detail += ": the policy's " + m[1] + " rules allow nothing"
			for _, p := range r.Set.Policies {
				shut(p, m[1])
			}
		}
		r.Errs = append(r.Errs, &field.Error{Type: field.ErrorTypeForbidden, Field: at.FieldPath(), Detail: detail})
	}
}

// shut makes a direction's rules match nothing where they allow, and everything
// where they pass; where they deny, they are wider without the unknown field.
func shut(p *policy.Policy, direction string) {
	rules := p.Ingress
	if direction == "egress" {
		rules = p.Egress
	}
	if rules == nil {
		return
	}
	for i := range rules.Rules {
		rule := &rules.Rules[i]
		switch rule.Action {
		case policy.Allow:
			rule.AnyPeer, rule.Peers, rule.AnyPort, rule.Ports = false, nil, false, nil
		case policy.Pass:
			*rule = policy.Rule{Name: rule.Name, Action: policy.Deny, AnyPeer: true, AnyPort: true}
		}
	}
}
