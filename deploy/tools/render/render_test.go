package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the manifests")

const chart = "../../chart/bulkhead"

func render(t *testing.T, values ...string) string {
	t.Helper()
	text, err := request{release: "bulkhead", namespace: "kube-system", values: values}.render(chart)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestManifestsAreTheCharts: those in the repository are what the chart gives.
func TestManifestsAreTheCharts(t *testing.T) {
	for name, values := range map[string][]string{"bulkhead.yaml": nil, "uninstall.yaml": {"uninstall=true"}} {
		path := filepath.Join("..", "..", name)
		want := render(t, values...)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what the chart gives: run make manifests", name)
		}
	}
}

func TestValuesReachTheManifest(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []string
		want   []string
		not    []string
	}{
		{"default", nil, []string{"--mode=enforce", "--beside=refuse", "--listen=127.0.0.1:9477", "host: \"127.0.0.1\"", "bulkhead:v", "operator: Exists", "--state-dir=/run/bulkhead", "path: /run/bulkhead"}, []string{"reset-tcp", "PodMonitor", "privileged: true", "NODE_IP", "/var/run/nri", "Secret"}},
		{"no proxy", []string{"proxy=off"}, []string{"--proxy=off"}, []string{"hostPath", "state-dir", "dns-refusal"}},
		{"audit", []string{"mode=audit", "beside=audit", "resetTCP=true"}, []string{"--mode=audit", "--beside=audit", "--reset-tcp"}, nil},
		{"all addresses", []string{"listen=:9500"}, []string{"--listen=:9500", "containerPort: 9500", "host: 127.0.0.1", "port: 9500"}, nil},
		{"the node's address", []string{"listen=$(NODE_IP):9477"}, []string{"--listen=$(NODE_IP):9477", "fieldPath: status.hostIP"}, []string{"host: "}},
		{"IPv6", []string{"listen=[::1]:9477"}, []string{`host: "::1"`}, nil},
		{"digest", []string{"image.digest=sha256:" + strings.Repeat("a", 64)}, []string{"bulkhead@sha256:aaaa"}, nil},
		{"image", []string{"image.repository=registry.example/b", "image.tag=v9"}, []string{"image: registry.example/b:v9"}, nil},
		{"monitor", []string{"podMonitor.enabled=true", "listen=:9477"}, []string{"kind: PodMonitor"}, nil},
		{"nodes", []string{"nodeSelector.pool=a", "tolerations=null"}, []string{"pool: a"}, []string{"Exists"}},
		{"uninstall", []string{"uninstall=true"}, []string{"args: [uninstall]", "args: [uninstall, --stay]", "maxUnavailable: 100%"}, []string{"Probe", "--mode"}},
	} {
		text := render(t, test.values...)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, text)
			}
		}
		for _, not := range test.not {
			if strings.Contains(text, not) {
				t.Errorf("%s: %q in\n%s", test.name, not, text)
			}
		}
	}
}

// Definitions come only where they are asked for, and stay when the release goes.
func TestDefinitionsAreChosen(t *testing.T) {
	const definition = "kind: CustomResourceDefinition"
	for _, test := range []struct {
		values []string
		want   int
	}{
		{nil, 0},
		{[]string{"crds.policy=true"}, 3},
		{[]string{"crds.calico=true", "crds.cilium=true"}, 21},
		{[]string{"crds.policy=true", "uninstall=true"}, 0},
	} {
		text := render(t, test.values...)
		if got := strings.Count(text, definition); got != test.want {
			t.Errorf("%q: %d definitions, want %d", test.values, got, test.want)
		}
		if kept := strings.Count(text, "helm.sh/resource-policy: keep"); kept != test.want {
			t.Errorf("%q: %d of %d definitions stay", test.values, kept, test.want)
		}
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for _, value := range []string{
		"mode=learn", "beside=ignore", "resetTCP=perhaps", "listen=9477", "log.level=loud", "image.digest=latest", "nodeSelektor.a=b",
		"podMonitor.enabled=true", // with a loopback address
	} {
		if _, err := (request{release: "bulkhead", namespace: "kube-system", values: []string{value}}).render(chart); err == nil {
			t.Errorf("%s: no error", value)
		}
	}
}

func TestOtherReleasesDoNotCollide(t *testing.T) {
	text, err := request{release: "second", namespace: "security"}.render(chart)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "name: second-bulkhead\n") || strings.Contains(text, "  name: bulkhead\n") || strings.Contains(text, "kube-system") {
		t.Errorf("names of another release in\n%s", text)
	}
}
