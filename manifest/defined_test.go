package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func definedKind(t *testing.T, group, kind string) Defined {
	all := DefinedKinds()
	i := slices.IndexFunc(all, func(d Defined) bool { return d.Group == group && d.Kind == kind })
	if i < 0 {
		t.Fatalf("no kind %s of %s", kind, group)
	}
	return all[i]
}

func TestDefinedKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range DefinedKinds() {
		name := d.Resource + "." + d.Group
		if seen[name] || len(d.Versions) != len(d.kinds) || d.Group == "networking.k8s.io" {
			t.Errorf("%s %q", name, d.Versions)
		}
		seen[name] = true
	}
	for _, name := range []string{
		"clusternetworkpolicies.policy.networking.k8s.io", "baselineadminnetworkpolicies.policy.networking.k8s.io",
		"stagedkubernetesnetworkpolicies.projectcalico.org", "tiers.crd.projectcalico.org", "hostendpoints.projectcalico.org",
		"ciliumnetworkpolicies.cilium.io", "ciliumcidrgroups.cilium.io",
	} {
		if !seen[name] {
			t.Errorf("no %s among %d", name, len(seen))
		}
	}
	if d := definedKind(t, "policy.networking.k8s.io", "ClusterNetworkPolicy"); !slices.Equal(d.Versions, []string{"v1alpha2", "v1beta1"}) {
		t.Errorf("versions %q", d.Versions)
	}
	if d := definedKind(t, "cilium.io", "CiliumCIDRGroup"); !slices.Equal(d.Versions, []string{"v2", "v2alpha1"}) {
		t.Errorf("versions %q", d.Versions)
	}
}

// What an API server gives is enforced as far as it is understood, and no wider.
func TestReadOfAnAPIServer(t *testing.T) {
	const (
		cnp    = "policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy"
		gnp    = "projectcalico.org/v3 GlobalNetworkPolicy"
		ccnp   = "cilium.io/v2 CiliumClusterwideNetworkPolicy"
		others = `kind: x, status: {conditions: []}, metadata: {name: p, managedFields: [{manager: a, operation: Apply, apiVersion: a/v1, fieldsType: FieldsV1, fieldsV1: {}, novel: b}], novel: c}`
	)
	for _, row := range []struct{ name, kind, spec, want string }{
		{"understood", cnp, `tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]`,
			"pods | ingress (allow [pods] any port)"},
		{"an unknown field closes the rules of its direction", cnp, `tier: Admin, priority: 1, subject: {namespaces: {}},
			ingress: [{action: Accept, from: [{namespaces: {}}], when: full-moon}, {action: Pass, from: [{namespaces: {}}]}, {action: Deny, from: [{namespaces: {}}]}],
			egress: [{action: Accept, to: [{namespaces: {}}]}]`,
			"pods | ingress (allow) (deny any peer any port) (deny [pods] any port) | egress (allow [pods] any port); " +
				`spec.ingress[0].when: Forbidden: this field is not known: the policy's ingress rules allow nothing`},
		{"one beside the rules is told of", cnp, `tier: Admin, priority: 1, subject: {namespaces: {}}, note: hello`,
			"pods; spec.note: Forbidden: this field is not known"},
		{"an unknown field in a rule of Cilium", ccnp, `endpointSelector: {}, ingressDeny: [{fromEntities: [world], novel: 1}], ingress: [{fromEntities: [all]}]`,
			`; spec.ingressDeny[0].novel: Forbidden: this field is not known: the policy's ingress rules allow nothing`},
		{"wrong type", gnp, `order: [1]`, `spec: Invalid value: "": json: cannot unmarshal array into Go struct field GlobalNetworkPolicySpec.spec.NetworkPolicySpec.order of type float64`},
	} {
		apiVersion, kind, _ := strings.Cut(row.kind, " ")
		d := definedKind(t, groupOf(apiVersion), kind)
		text := fmt.Sprintf("{apiVersion: %s, %s, spec: {%s}}", apiVersion, others, row.spec)
		body, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		r := d.Read(apiVersion, body)
		var got []string
		for _, ref := range slices.SortedFunc(maps.Keys(r.Set.Policies), policy.Ref.Compare) {
			got = append(got, r.Set.Policies[ref].Text())
		}
		for _, err := range r.Errs {
			got = append(got, err.Error())
		}
		if text := strings.Join(got, "; "); !strings.HasSuffix(text, row.want) || strings.HasPrefix(row.want, ";") && strings.Contains(text, "allow [") {
			t.Errorf("%s:\n got  %s\n want %s", row.name, text, row.want)
		}
	}
	d := definedKind(t, "cilium.io", "CiliumCIDRGroup")
	if r := d.Read("cilium.io/v9", []byte("{}")); len(r.Errs) != 1 {
		t.Errorf("an unknown version reads as %+v", r)
	}
}
