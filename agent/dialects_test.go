package agent

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// told is a source's dialects and what they tell of.
type told struct {
	t *testing.T
	*dialects
}

func newTold(t *testing.T) told {
	d := emptyDialects()
	for _, kind := range manifest.DefinedKinds() {
		d.tables = append(d.tables, definedTable{kind: kind})
	}
	return told{t, d}
}

// change is what a table says of an object; an empty text: it is gone.
func (d told) change(apiVersion, kind, name, spec string) string {
	d.t.Helper()
	group, _, _ := strings.Cut(apiVersion, "/")
	i := slices.IndexFunc(d.tables, func(t definedTable) bool { return t.kind.Group == group && t.kind.Kind == kind })
	if i < 0 {
		d.t.Fatalf("no table of %s %s", apiVersion, kind)
	}
	object := kube.Object{APIVersion: apiVersion, Kind: kind, Name: cluster.Name{Name: name}}
	change := kube.Change[*content]{Object: object, Gone: spec == ""}
	if spec != "" {
		text := fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: %s}", apiVersion, kind, name, spec)
		body, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			d.t.Fatal(err)
		}
		reading := readContent(&d.tables[i].kind, apiVersion, body)
		change.Value, change.Errs = reading.Value, reading.Errs
	}
	var b Batch
	d.apply(&b, map[origin]kube.Change[*content]{{i, object.Name}: change})
	return describe(b)
}

func describe(b Batch) string {
	var lines []string
	for ref, p := range b.Policies {
		if p == nil {
			lines = append(lines, fmt.Sprintf("%s %s is gone", ref.Kind, ref))
		} else {
			lines = append(lines, p.Kind+" "+p.Ref.String()+": "+p.Text())
		}
	}
	for name, tier := range b.Tiers {
		lines = append(lines, fmt.Sprintf("tier %s %t", name, tier != nil))
	}
	for ref, n := range b.Networks {
		lines = append(lines, fmt.Sprintf("networks %s %t", ref, n != nil))
	}
	for _, f := range b.Faults {
		if f.Text() == "" {
			f.Reason = "is in order"
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s", f.Object, f.Reason, f.Text())))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

const (
	cnp       = "policy.networking.k8s.io/v1alpha2"
	calicoV3  = "projectcalico.org/v3"
	calicoCRD = "crd.projectcalico.org/v1"
)

func TestDialectsTellWhatObjectsBring(t *testing.T) {
	d := newTold(t)
	for _, step := range []struct{ apiVersion, kind, name, spec, want string }{
		{cnp, "ClusterNetworkPolicy", "a", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}`,
			"ClusterNetworkPolicy a: pods | ingress (deny [pods] any port)"},
		// A part that is not understood is told of, and fails closed.
		{cnp, "ClusterNetworkPolicy", "a", `{tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{}]}]}`,
			"ClusterNetworkPolicy a: PolicyPartlyEnforced spec.ingress[0].from[0]: Required value: give one of namespaces or pods\n" +
				"ClusterNetworkPolicy a: pods | ingress (allow)"},
		// Mended.
		{cnp, "ClusterNetworkPolicy", "a", `{tier: Baseline, priority: 1, subject: {namespaces: {}}}`,
			"ClusterNetworkPolicy a: is in order\nClusterNetworkPolicy a: pods"},
		{cnp, "ClusterNetworkPolicy", "b", `{tier: Middle, priority: 1, subject: {namespaces: {}}}`,
			`ClusterNetworkPolicy b: PolicyNotEnforced spec.tier: Unsupported value: "Middle": supported values: "Admin", "Baseline"`},
		{cnp, "ClusterNetworkPolicy", "b", "", "ClusterNetworkPolicy b: is in order"},
		{cnp, "ClusterNetworkPolicy", "a", "", "ClusterNetworkPolicy a is gone"},
		// A tier that is not there, comes, and goes.
		{calicoV3, "GlobalNetworkPolicy", "g", `{tier: sec, types: [Ingress]}`,
			`GlobalNetworkPolicy g: PolicyPartlyEnforced spec.tier: Invalid value: "sec": there is no tier of this name: the policy is asked last, and what it does not decide is denied` + "\n" +
				"GlobalNetworkPolicy g: pods and hosts | ingress isolates"},
		{calicoV3, "Tier", "sec", `{order: 7}`, "GlobalNetworkPolicy g: is in order\ntier sec true"},
		{calicoV3, "Tier", "sec", "",
			`GlobalNetworkPolicy g: PolicyPartlyEnforced spec.tier: Invalid value: "sec": there is no tier of this name: the policy is asked last, and what it does not decide is denied` + "\n" +
				"tier sec false"},
		{calicoV3, "GlobalNetworkPolicy", "g", "", "GlobalNetworkPolicy g is gone\nGlobalNetworkPolicy g: is in order"},
		{calicoV3, "GlobalNetworkSet", "feed", `{nets: [10.0.0.0/8]}`, "networks feed true"},
		{calicoV3, "GlobalNetworkSet", "feed", "", "networks feed false"},
	} {
		if got := d.change(step.apiVersion, step.kind, step.name, step.spec); got != step.want {
			t.Fatalf("%s %s %s:\n got  %s\n want %s", step.kind, step.name, step.spec, got, step.want)
		}
	}
	if left := slices.Collect(maps.Keys(d.objects)); len(left) > 0 {
		t.Errorf("%v are kept and gone", left)
	}
}

// One policy in both of Calico's groups is one policy, and stays when one of the
// two objects goes.
func TestOnePolicyInTwoObjects(t *testing.T) {
	d := newTold(t)
	d.change(calicoCRD, "GlobalNetworkPolicy", "default.g", `{types: [Ingress]}`)
	if got, want := d.change(calicoV3, "GlobalNetworkPolicy", "g", `{types: [Egress]}`), "GlobalNetworkPolicy g: pods and hosts | egress isolates"; got != want {
		t.Errorf("got %s, want %s: the group that people write counts", got, want)
	}
	if got, want := d.change(calicoCRD, "GlobalNetworkPolicy", "default.g", ""), "GlobalNetworkPolicy g: pods and hosts | egress isolates"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := d.change(calicoV3, "GlobalNetworkPolicy", "g", ""), "GlobalNetworkPolicy g is gone"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNeedsOfPolicies(t *testing.T) {
	const all = needAccounts | needNodes | needServices
	n := newNeeds()
	for _, row := range []struct {
		apiVersion, kind, spec string
		want                   need
	}{
		{cnp, "ClusterNetworkPolicy", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}`, needNodes},
		{cnp, "ClusterNetworkPolicy", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]}`, 0},
		{calicoV3, "GlobalNetworkPolicy", `{serviceAccountSelector: team == 'a'}`, needAccounts},
		{calicoV3, "GlobalNetworkPolicy", `{ingress: [{action: Allow, source: {serviceAccounts: {names: [a]}}}]}`, 0},
		{calicoV3, "GlobalNetworkPolicy", `{ingress: [{action: Allow, source: {serviceAccounts: {selector: "has(x)"}}}]}`, needAccounts},
		{calicoV3, "GlobalNetworkPolicy", `{egress: [{action: Allow, destination: {services: {name: web, namespace: shop}}}]}`, needServices},
	} {
		d := newTold(t)
		d.change(row.apiVersion, row.kind, "p", row.spec)
		for ref := range d.policies {
			n.set(ref, d.policies.first(ref))
			for _, one := range allNeeds {
				if got, want := n.has(one), row.want&one != 0; got != want {
					t.Errorf("%s: need %d is %t, want %t", row.spec, one, got, want)
				}
			}
			n.set(ref, nil)
		}
	}
	if len(n.of) != 0 || n.has(all) {
		t.Errorf("needs of policies that are gone: %v", n)
	}
}

// Metrics tell the tables of an API server apart by their names.
func TestTablesHaveNamesOfTheirOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := "{clusters: [{name: c, cluster: {server: 'https://192.0.2.1'}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Connect(path, "test")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, state := range FromKube(client, "n1", nil, slog.New(slog.DiscardHandler)).Status().Tables {
		if seen[state.Kind] {
			t.Errorf("two tables are %s", state.Kind)
		}
		seen[state.Kind] = true
	}
	if want := len(manifest.DefinedKinds()) + 4; len(seen) < want {
		t.Errorf("%d tables, want %d at least", len(seen), want)
	}
}
