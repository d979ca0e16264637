package kubelet

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	runtime "github.com/bulkhead-dev/bulkhead/test/cluster/container"
	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
)

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "B": "two"}
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"$(A)-$(B)", "1-two"},
		{"$(C)", "$(C)"},
		{"$$(A)", "$(A)"},
		{"$$$(A)", "$1"},
		{"$A", "$A"},
		{"$(A", "$(A"},
		{"$", "$"},
		{"a$(A)$", "a1$"},
	} {
		if got := expand(c.in, values); got != c.want {
			t.Errorf("%s: %s, not %s", c.in, got, c.want)
		}
	}
}

func testKubelet() *Kubelet {
	return New(Config{
		Node:    &fabric.Node{Name: "node-1", Addresses: []netip.Addr{netip.MustParseAddr("172.18.0.11")}},
		Cluster: Cluster{Domain: "cluster.local", DNS: []netip.Addr{netip.MustParseAddr("10.96.0.10")}, API: netip.MustParseAddr("10.96.0.1")},
	})
}

func testSandbox() *sandbox {
	return &sandbox{hostname: "web", addresses: []netip.Addr{netip.MustParseAddr("10.244.1.2"), netip.MustParseAddr("fd00::2")}}
}

func TestEnvironment(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: map[string]string{"b": "2", "a": "1"}}}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	c := &corev1.Container{
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("3Mi")}},
		Env: []corev1.EnvVar{
			{Name: "IP", ValueFrom: field("status.podIP")},
			{Name: "IPS", ValueFrom: field("status.podIPs")},
			{Name: "HOST", ValueFrom: field("status.hostIP")},
			{Name: "WHO", Value: "$(IP) on $(HOST)"},
			{Name: "LABELS", ValueFrom: field("metadata.labels")},
			{Name: "LABEL", ValueFrom: field("metadata.labels['b']")},
			{Name: "MEMORY", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("2Mi")}}},
			{Name: "PATH", Value: "/only"},
		},
	}
	env, err := testKubelet().environment(pod, testSandbox(), c, &image.Image{Environment: []string{"FROM=image"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"IP=10.244.1.2", "IPS=10.244.1.2,fd00::2", "HOST=172.18.0.11", "WHO=10.244.1.2 on 172.18.0.11",
		"LABELS=a=\"1\"\nb=\"2\"", "LABEL=2", "MEMORY=2", "PATH=/only", "FROM=image", "HOSTNAME=web", "KUBERNETES_SERVICE_HOST=10.96.0.1",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	c.Env = []corev1.EnvVar{{Name: "X", ValueFrom: field("status.phase")}}
	if _, err := testKubelet().environment(pod, testSandbox(), c, &image.Image{}); err == nil || !strings.Contains(err.Error(), "status.phase") {
		t.Errorf("a field that no pod is told: %v", err)
	}
}

func TestResolvConf(t *testing.T) {
	value := "1"
	config := &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &value}}}
	cluster := "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	for _, c := range []struct {
		policy corev1.DNSPolicy
		host   bool
		config *corev1.PodDNSConfig
		want   string
	}{
		{corev1.DNSClusterFirst, false, nil, cluster},
		{corev1.DNSClusterFirst, true, nil, ""},
		{corev1.DNSClusterFirstWithHostNet, true, nil, cluster},
		{corev1.DNSDefault, false, nil, ""},
		{corev1.DNSNone, false, config, "nameserver 192.0.2.1\noptions ndots:1\n"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"},
			Spec: corev1.PodSpec{DNSPolicy: c.policy, HostNetwork: c.host, DNSConfig: c.config}}
		if got := testKubelet().Cluster.resolvConf(pod); got != c.want {
			t.Errorf("%s, host network %v: %q, not %q", c.policy, c.host, got, c.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	img := &image.Image{Entrypoint: []string{"/run"}, Command: []string{"default"}}
	for _, c := range []struct{ command, args, want string }{
		{"", "", "/run default"},
		{"", "a $(X)", "/run a 1"},
		{"/other", "", "/other"},
		{"/other", "b", "/other b"},
	} {
		container := &corev1.Container{Command: strings.Fields(c.command), Args: strings.Fields(c.args)}
		if got := strings.Join(commandLine(container, img, []string{"X=1"}), " "); got != c.want {
			t.Errorf("command %q, args %q: %q, not %q", c.command, c.args, got, c.want)
		}
	}
}

func TestSecure(t *testing.T) {
	user, group, deny := int64(1000), int64(2000), false
	pod := &corev1.PodSecurityContext{RunAsUser: &user, FSGroup: &group}
	spec := &runtime.Spec{}
	secure(spec, pod, &corev1.SecurityContext{RunAsGroup: &group, AllowPrivilegeEscalation: &deny,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}}})
	if spec.UID != 1000 || spec.GID != 2000 || !slices.Equal(spec.Groups, []int{2000}) || !spec.NoNewPrivileges {
		t.Errorf("identity is %+v", spec)
	}
	if !slices.Equal(spec.Capabilities, []string{"NET_BIND_SERVICE"}) {
		t.Errorf("capabilities are %v", spec.Capabilities)
	}
	spec = &runtime.Spec{}
	secure(spec, nil, &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"NET_RAW"}, Add: []corev1.Capability{"NET_ADMIN"}}})
	if slices.Contains(spec.Capabilities, "NET_RAW") || !slices.Contains(spec.Capabilities, "NET_ADMIN") || !slices.Contains(spec.Capabilities, "CHOWN") {
		t.Errorf("capabilities are %v", spec.Capabilities)
	}
}

func TestHostname(t *testing.T) {
	long := strings.Repeat("a", 62) + "-tail"
	for _, c := range []struct{ hostname, name, want string }{
		{"", "web", "web"}, {"given", "web", "given"}, {"", long, strings.Repeat("a", 62)},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.name}, Spec: corev1.PodSpec{Hostname: c.hostname}}
		if got := hostname(pod); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}
