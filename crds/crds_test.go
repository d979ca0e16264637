package crds

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Every kind that can be read is defined once, with a schema that the limits fit.
func TestEveryKindIsDefined(t *testing.T) {
	seen := map[string]bool{}
	for _, api := range APIs() {
		definitions, err := Of(api)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range definitions {
			if seen[d.Name] {
				t.Errorf("%s twice", d.Name)
			}
			seen[d.Name] = true
		}
		text, err := YAML(definitions)
		if err != nil || strings.Count(string(text), "\n---\n")+1 != len(definitions) {
			t.Errorf("%s: %d documents of %d, %v", api, strings.Count(string(text), "\n---\n")+1, len(definitions), err)
		}
	}
	for _, kind := range manifest.DefinedKinds() {
		if name := kind.Resource + "." + kind.Group; !seen[name] {
			t.Errorf("%s is not defined", name)
		}
	}
	if _, err := Of("istio"); err == nil || !strings.Contains(err.Error(), "policy, calico, cilium") {
		t.Errorf("istio: %v", err)
	}
}

func specOf(t *testing.T, api, name string) map[string]any {
	definitions, err := Of(api)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(definitions, func(d Definition) bool { return d.Name == name })
	if i < 0 {
		t.Fatalf("%s has no %s", api, name)
	}
	version := definitions[i].Object["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
	return version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
}

// ClusterNetworkPolicy is checked as the API's own definition does, whose release
// is the one that the reader follows.
func TestClusterNetworkPolicyIsTheAPIsOwn(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/network-policy-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "config/crd/experimental/policy.networking.k8s.io_clusternetworkpolicies.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var official struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &official); err != nil {
		t.Fatal(err)
	}
	ours, err := yaml.Marshal(specOf(t, "policy", "clusternetworkpolicies.policy.networking.k8s.io"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := yaml.Unmarshal(ours, &got); err != nil {
		t.Fatal(err)
	}
	for _, difference := range compare("", official.Spec.Versions[0].Schema.OpenAPIV3Schema, got) {
		t.Error(difference)
	}
}

// loose are words of a schema that change nothing of what is accepted, or only how
// updates are merged.
var loose = []string{"description", "format", "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys", "message"}

// compare lists what the official schema checks in another way.
func compare(path string, official, ours any) []string {
	want, ok := official.(map[string]any)
	if !ok {
		if list, ok := official.([]any); ok {
			official, ours = sortedTexts(list), sortedTexts(ours)
		}
		if !reflect.DeepEqual(official, ours) {
			return []string{path + ": " + text(ours) + ", official " + text(official)}
		}
		return nil
	}
	got, _ := ours.(map[string]any)
	var all []string
	for key, value := range want {
		if slices.Contains(loose, key) && !strings.HasSuffix(path, ".properties") {
			continue
		}
		all = append(all, compare(path+"."+key, value, got[key])...)
	}
	for key, value := range got {
		if _, has := want[key]; !has && (!slices.Contains(loose, key) || strings.HasSuffix(path, ".properties")) {
			all = append(all, path+"."+key+": "+text(value)+", official none")
		}
	}
	return all
}

func sortedTexts(list any) []string {
	var all []string
	items, _ := list.([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			delete(m, "message")
		}
		all = append(all, text(item))
	}
	slices.Sort(all)
	return all
}

func text(v any) string {
	b, err := yaml.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// Objects of other engines may have fields that we do not know: they are kept, so
// that an agent can tell of them. Those of policy.networking.k8s.io are pruned.
func TestUnknownFieldsOfOtherEnginesAreKept(t *testing.T) {
	for _, row := range []struct {
		api, name, path string
		want            bool
	}{
		{"calico", "globalnetworkpolicies.projectcalico.org", "spec.ingress[].source", true},
		{"calico", "globalnetworkpolicies.crd.projectcalico.org", "spec", true},
		{"cilium", "ciliumnetworkpolicies.cilium.io", "specs[].egress[].toPorts[].rules", true},
		{"policy", "clusternetworkpolicies.policy.networking.k8s.io", "spec.ingress[]", false},
	} {
		at := specOf(t, row.api, row.name)
		for _, step := range steps(row.path) {
			at = child(at, step)
		}
		if got := at["x-kubernetes-preserve-unknown-fields"] == true; got != row.want {
			t.Errorf("%s %s keeps %t, want %t", row.name, row.path, got, row.want)
		}
	}
}

func TestExpand(t *testing.T) {
	for path, want := range map[string]string{
		"":                "",
		"a":               "a",
		"a,b[].c":         "a b[].c",
		"a.{b,c}[].d":     "a.b[].d a.c[].d",
		"{a,b}.{c,d},e":   "a.c a.d b.c b.d e",
		"{specs[]}.{x,y}": "specs[].x specs[].y",
	} {
		if got := strings.Join(expand(path), " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
