package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/agent"
	"github.com/bulkhead-dev/bulkhead/crds"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// installed is what the plain manifest installs.
type installed struct {
	account   corev1.ServiceAccount
	role      rbacv1.ClusterRole
	binding   rbacv1.ClusterRoleBinding
	daemonSet appsv1.DaemonSet
}

// readManifest reads a manifest as strictly as kubectl --validate=strict.
func readManifest(t *testing.T, path string) installed {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all installed
	kinds := map[string]any{
		"ServiceAccount": &all.account, "ClusterRole": &all.role, "ClusterRoleBinding": &all.binding, "DaemonSet": &all.daemonSet,
	}
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		var head struct{ Kind string }
		if err := yaml.Unmarshal(document, &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == "" {
			continue // remarks
		}
		object, known := kinds[head.Kind]
		if !known {
			t.Errorf("%s installs a %s", path, head.Kind)
			continue
		}
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		delete(kinds, head.Kind)
	}
	for kind := range kinds {
		t.Errorf("%s installs no %s", path, kind)
	}
	return all
}

func TestManifestsCallTheProgramAsItIs(t *testing.T) {
	for _, path := range []string{"../../deploy/bulkhead.yaml", "../../deploy/uninstall.yaml"} {
		pod := readManifest(t, path).daemonSet.Spec.Template.Spec
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			cmd, rest, err := newRootCommand().Find(c.Args)
			if err != nil || cmd.Name() != c.Args[0] {
				t.Errorf("%s: container %s: %v: %v", path, c.Name, c.Args, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: container %s: %v: %v", path, c.Name, c.Args, err)
			}
		}
	}
}

func TestManifestProbesWhatTheAgentAnswers(t *testing.T) {
	pod := readManifest(t, "../../deploy/bulkhead.yaml").daemonSet.Spec.Template.Spec
	c := pod.Containers[0]
	cmd, rest, err := newRootCommand().Find(c.Args)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	listen := cmd.Flag("listen").Value.String()
	for path, probe := range map[string]*corev1.Probe{agent.PathHealth: c.LivenessProbe, agent.PathReady: c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Host+":"+probe.HTTPGet.Port.String() != listen {
			t.Errorf("probe of %s is %+v, want it at %s", path, probe, listen)
		}
	}
	if !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool {
		return e.Name == "NODE_NAME" && e.ValueFrom.FieldRef.FieldPath == "spec.nodeName"
	}) {
		t.Errorf("no node's name in the environment %+v", c.Env)
	}
}

// TestManifestAsksForLittle: each power needs a reason, which stands in the
// chart.
func TestManifestAsksForLittle(t *testing.T) {
	all := readManifest(t, "../../deploy/bulkhead.yaml")
	pod := all.daemonSet.Spec.Template.Spec
	ownFolder := func(v corev1.Volume) bool { return v.HostPath != nil && v.HostPath.Path == "/run/bulkhead" }
	if !pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Volumes) != 1 || !ownFolder(pod.Volumes[0]) || len(pod.InitContainers) > 0 {
		t.Errorf("pod has host PID %t, host IPC %t, volumes %v, init containers %v, host network %t",
			pod.HostPID, pod.HostIPC, pod.Volumes, pod.InitContainers, pod.HostNetwork)
	}
	s := pod.Containers[0].SecurityContext
	if *s.Privileged || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem ||
		!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || !slices.Equal(s.Capabilities.Add, []corev1.Capability{"NET_ADMIN"}) {
		t.Errorf("security context %+v", s)
	}
	var may []string
	for _, r := range all.role.Rules {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				may = append(may, strings.Join(r.Verbs, ",")+" "+resource+"."+group)
			}
		}
	}
	want := []string{
		"list,watch pods.", "list,watch namespaces.", "list,watch nodes.", "list,watch serviceaccounts.", "list,watch services.",
		"list,watch endpointslices.discovery.k8s.io",
		"list,watch customresourcedefinitions.apiextensions.k8s.io",
		"list,watch networkpolicies.networking.k8s.io", "create events.events.k8s.io",
	}
	for _, kind := range manifest.DefinedKinds() {
		want = append(want, "list,watch "+kind.Resource+"."+kind.Group)
		if kind.Conditions() {
			want = append(want, "patch "+kind.Resource+"/status."+kind.Group)
		}
	}
	slices.Sort(may)
	slices.Sort(want)
	if !slices.Equal(may, want) {
		t.Errorf("may %q, want %q", may, want)
	}
	if all.binding.RoleRef.Name != all.role.Name || all.binding.Subjects[0].Name != all.account.Name || pod.ServiceAccountName != all.account.Name {
		t.Errorf("binding %+v of account %s", all.binding, all.account.Name)
	}
}

// The chart's definitions are those of today's types.
func TestChartHasTheDefinitions(t *testing.T) {
	for _, api := range crds.APIs() {
		definitions, err := crds.Of(api)
		if err != nil {
			t.Fatal(err)
		}
		want, err := crds.YAML(definitions)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../deploy/chart/bulkhead/files/" + api + ".yaml")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: the chart's definitions differ from those of the types (%v): run make manifests", api, err)
		}
	}
}
