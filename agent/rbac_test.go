package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// The manifest that people install lets the agent read every kind that it can,
// and of those APIs no other.
func TestInstalledAgentsMayReadEveryKind(t *testing.T) {
	mayRead := map[string]bool{}
	for _, rule := range installedRules(t) {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				if slices.Contains(rule.Verbs, "list") && slices.Contains(rule.Verbs, "watch") {
					mayRead[group+"/"+resource] = true
				}
			}
		}
	}
	for _, resource := range []string{
		"/pods", "/namespaces", "/nodes", "/serviceaccounts", "networking.k8s.io/networkpolicies", "apiextensions.k8s.io/customresourcedefinitions",
	} {
		if !mayRead[resource] {
			t.Errorf("it may not read %s", resource)
		}
		delete(mayRead, resource)
	}
	for _, kind := range manifest.DefinedKinds() {
		resource := kind.Group + "/" + kind.Resource
		if !mayRead[resource] {
			t.Errorf("it may not read %s", resource)
		}
		delete(mayRead, resource)
	}
	for resource := range mayRead {
		t.Errorf("it may read %s, which nobody does", resource)
	}
}

func installedRules(t *testing.T) []rbacv1.PolicyRule {
	content, err := os.ReadFile("../deploy/bulkhead.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var role rbacv1.ClusterRole
		err := documents.Decode(&role)
		if errors.Is(err, io.EOF) {
			t.Fatal("the manifest has no ClusterRole")
		}
		if err != nil {
			t.Fatal(err)
		}
		if role.Kind == "ClusterRole" {
			return role.Rules
		}
	}
}
