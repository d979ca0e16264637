package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/policy"
)

const webPod = `
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: web, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: web}]}
status: {podIP: 10.0.0.1}
`

const denyPolicy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: deny}
spec: {podSelector: {}}
`

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// folder is a source that follows a folder with a pod in it.
func folder(t *testing.T) (dir string, s Source) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, "pod.yaml", webPod)
	s, err := FromManifests(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dir, s
}

func next(t *testing.T, s Source) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for name, p := range b.Pods {
		lines = append(lines, fmt.Sprintf("pod %s %t", name, p != nil))
	}
	for ref, p := range b.Policies {
		lines = append(lines, fmt.Sprintf("policy %s %t", ref, p != nil))
	}
	for name, a := range b.Accounts {
		lines = append(lines, fmt.Sprintf("account %s %t", name, a != nil))
	}
	for name, tier := range b.Tiers {
		if name != policy.AdminTier.Name && name != policy.NetworkPolicyTier.Name && name != policy.BaselineTier.Name {
			lines = append(lines, fmt.Sprintf("tier %s %t", name, tier != nil))
		}
	}
	for ref, n := range b.Networks {
		lines = append(lines, fmt.Sprintf("networks %s %t", ref, n != nil))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

func TestFolderIsFollowed(t *testing.T) {
	dir, s := folder(t)
	for _, step := range []struct {
		what   string
		change func()
		want   string
	}{
		{"what there is", func() {}, "pod shop/web true"},
		{"a file more", func() { write(t, dir, "policy.yaml", denyPolicy) }, "policy shop/deny true"},
		{"a file in a new folder", func() {
			write(t, dir, "sub/deep/policy.yaml", strings.Replace(denyPolicy, "deny", "deep", 1))
		}, "policy shop/deep true"},
		{"a file in that folder again", func() {
			write(t, dir, "sub/deep/policy2.yaml", strings.Replace(denyPolicy, "deny", "deeper", 1))
		}, "policy shop/deeper true"},
		{"a changed policy", func() {
			write(t, dir, "policy.yaml", strings.Replace(denyPolicy, "podSelector: {}", "podSelector: {matchLabels: {app: web}}", 1))
		}, "policy shop/deny true"},
		{"a file replaced by a rename, as kubelets do", func() {
			write(t, dir, "..new", denyPolicy)
			if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "policy.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "policy shop/deny true"},
		{"a file less", func() {
			if err := os.Remove(filepath.Join(dir, "policy.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "policy shop/deny false"},
		{"a folder less", func() {
			if err := os.RemoveAll(filepath.Join(dir, "sub")); err != nil {
				t.Fatal(err)
			}
		}, "policy shop/deep false, policy shop/deeper false"},
	} {
		step.change()
		if got := next(t, s); got != step.want {
			t.Fatalf("%s: told %q, want %q", step.what, got, step.want)
		}
	}
}

func TestBrokenFolderKeepsTheLastGoodState(t *testing.T) {
	dir, s := folder(t)
	next(t, s)
	write(t, dir, "policy.yaml", "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: deny}\nspec: {podSelektor: {}}\n")
	until(t, "the failure to be known", func() bool { return s.Status().Failed != "" })
	if got := s.Status().Failed; !strings.Contains(got, "policy.yaml") || !strings.Contains(got, "podSelektor") {
		t.Errorf("status %q does not name file and field", got)
	}
	write(t, dir, "policy.yaml", denyPolicy)
	if got, want := next(t, s), "policy shop/deny true"; got != want {
		t.Errorf("told %q after it was mended, want %q", got, want)
	}
	if got := s.Status().Failed; got != "" {
		t.Errorf("status %q after it was mended", got)
	}
}

func TestBrokenFolderAtStartIsAnError(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "missing"), dir} {
		if _, err := FromManifests(path, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: no error", path)
		}
		write(t, dir, "broken.yaml", "{")
	}
}

func TestLinesAboveAPolicyChangeNothing(t *testing.T) {
	dir, s := folder(t)
	next(t, s)
	write(t, dir, "policy.yaml", denyPolicy)
	next(t, s)
	write(t, dir, "policy.yaml", "# a comment\n"+denyPolicy)
	write(t, dir, "other.yaml", strings.Replace(denyPolicy, "deny", "other", 1))
	if got, want := next(t, s), "policy shop/other true"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

const calicoObjects = `
apiVersion: v1
kind: ServiceAccount
metadata: {namespace: shop, name: web, labels: {team: a}}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: feed}
spec: {nets: [203.0.113.0/24]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: feed}
spec: {tier: security, types: [Egress]}
`

// What a policy refers to comes with it, and goes with it.
func TestFolderTellsWhatPoliciesReferTo(t *testing.T) {
	dir, s := folder(t)
	next(t, s)
	write(t, dir, "calico.yaml", calicoObjects)
	if got, want := next(t, s), "account shop/web true, networks feed true, policy feed true, tier security true"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	write(t, dir, "calico.yaml", "# moved down\n"+strings.Replace(calicoObjects, "203.0.113.0/24", "203.0.113.0/25", 1))
	if got, want := next(t, s), "networks feed true"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "calico.yaml")); err != nil {
		t.Fatal(err)
	}
	if got, want := next(t, s), "account shop/web false, networks feed false, policy feed false, tier security false"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
