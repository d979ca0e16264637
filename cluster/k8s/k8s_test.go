package k8s

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

func decode[T any](t *testing.T, text string) *T {
	t.Helper()
	object := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
	return object
}

func addrs(values ...string) []netip.Addr {
	var all []netip.Addr
	for _, v := range values {
		all = append(all, netip.MustParseAddr(v))
	}
	return all
}

func TestPodAddressesComeFromItsStatus(t *testing.T) {
	for _, test := range []struct {
		name, status string
		want         []netip.Addr
		errs         string
	}{
		{"none yet", `{phase: Pending}`, nil, ""},
		{"one", `{podIP: 10.0.0.1}`, addrs("10.0.0.1"), ""},
		{"dual stack", `{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "2001:db8::1"}]}`, addrs("10.0.0.1", "2001:db8::1"), ""},
		{"twice the same", `{podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.1}]}`, addrs("10.0.0.1"), ""},
		{"IPv4 written as IPv6", `{podIPs: [{ip: "::ffff:10.0.0.1"}]}`, addrs("10.0.0.1"), ""},
		{"nonsense beside a good one", `{podIPs: [{ip: nonsense}, {ip: 10.0.0.1}]}`, addrs("10.0.0.1"), "status.podIPs[0].ip"},
		{"nonsense alone", `{podIP: 10.0.0.256}`, nil, "status.podIP"},
		{"unspecified", `{podIP: 0.0.0.0}`, nil, "status.podIP"},
		{"with a zone", `{podIP: "fe80::1%eth0"}`, nil, "status.podIP"},
		{"running", `{phase: Running, podIP: 10.0.0.1}`, addrs("10.0.0.1"), ""},
		{"succeeded", `{phase: Succeeded, podIP: 10.0.0.1}`, nil, ""},
		{"failed", `{phase: Failed, podIP: 10.0.0.1}`, nil, ""},
	} {
		pod, errs := Pod(decode[corev1.Pod](t, "status: "+test.status))
		if !reflect.DeepEqual(pod.Addrs, test.want) {
			t.Errorf("%s: addresses %v, want %v", test.name, pod.Addrs, test.want)
		}
		checkFields(t, test.name, errs, test.errs)
	}
}

func TestPodPortsAreThoseOfContainersThatStay(t *testing.T) {
	for _, test := range []struct{ name, spec, want, errs string }{
		{"none", `{containers: [{name: a}]}`, "", ""},
		{"default protocol", `{containers: [{name: a, ports: [{name: http, containerPort: 80}]}]}`, "http/TCP/80", ""},
		{"two containers, one name", `{containers: [{name: a, ports: [{name: http, containerPort: 80}]}, {name: b, ports: [{name: http, containerPort: 81, protocol: UDP}]}]}`, "http/TCP/80 http/UDP/81", ""},
		{"SCTP", `{containers: [{name: a, ports: [{containerPort: 36412, protocol: SCTP}]}]}`, "/SCTP/36412", ""},
		{"init container", `{initContainers: [{name: i, ports: [{name: http, containerPort: 1}]}], containers: [{name: a}]}`, "", ""},
		{"sidecar", `{initContainers: [{name: i, restartPolicy: Always, ports: [{name: http, containerPort: 1}]}], containers: [{name: a}]}`, "http/TCP/1", ""},
		{"unknown protocol", `{containers: [{name: a, ports: [{containerPort: 1, protocol: ICMP}, {containerPort: 2}]}]}`, "/TCP/2", "spec.containers[0].ports[0].protocol"},
		{"out of range", `{containers: [{name: a, ports: [{containerPort: 65536}]}]}`, "", "spec.containers[0].ports[0].containerPort"},
	} {
		pod, errs := Pod(decode[corev1.Pod](t, "spec: "+test.spec))
		var got []string
		for _, p := range pod.Ports {
			got = append(got, fmt.Sprintf("%s/%s/%d", p.Name, p.Protocol, p.Number))
		}
		if joined := strings.Join(got, " "); joined != test.want {
			t.Errorf("%s: ports %q, want %q", test.name, joined, test.want)
		}
		checkFields(t, test.name, errs, test.errs)
	}
}

func TestPodKeepsWhatPolicyNeeds(t *testing.T) {
	pod, errs := Pod(decode[corev1.Pod](t, `
metadata: {namespace: shop, name: web-0, labels: {app: web}}
spec: {nodeName: n1, serviceAccountName: web, hostNetwork: true}`))
	want := &cluster.Pod{
		Name:   cluster.Name{Namespace: "shop", Name: "web-0"},
		Labels: map[string]string{"app": "web"}, ServiceAccount: "web", Node: "n1", HostNetwork: true,
	}
	if !reflect.DeepEqual(pod, want) || len(errs) > 0 {
		t.Errorf("got %+v, %v, want %+v", pod, errs, want)
	}
	if pod, _ := Pod(&corev1.Pod{}); pod.ServiceAccount != "default" {
		t.Errorf("service account %q, want the default", pod.ServiceAccount)
	}
}

func TestWorkloadIsWhatThePodWasMadeFrom(t *testing.T) {
	for _, test := range []struct{ metadata, want string }{
		{`{}`, ""},
		{`{ownerReferences: [{kind: StatefulSet, name: db, controller: true}]}`, "StatefulSet/db"},
		{`{ownerReferences: [{kind: Custom, name: x}]}`, ""},
		{`{labels: {pod-template-hash: abc}, ownerReferences: [{kind: ReplicaSet, name: web-abc, controller: true}]}`, "Deployment/web"},
		{`{ownerReferences: [{kind: ReplicaSet, name: web-abc, controller: true}]}`, "ReplicaSet/web-abc"},
	} {
		if pod, _ := Pod(decode[corev1.Pod](t, "metadata: "+test.metadata)); pod.Workload != test.want {
			t.Errorf("%s: workload %q, want %q", test.metadata, pod.Workload, test.want)
		}
	}
}

func TestNamespaceHasItsNameLabel(t *testing.T) {
	for _, labels := range []map[string]string{nil, {"a": "b"}, {cluster.NamespaceNameLabel: "other"}} {
		before := fmt.Sprint(labels)
		ns := Namespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: labels}})
		if ns.Name != "shop" || ns.Labels[cluster.NamespaceNameLabel] != "shop" || ns.Labels["a"] != labels["a"] {
			t.Errorf("labels %v: got %+v", labels, ns)
		}
		if after := fmt.Sprint(labels); after != before {
			t.Errorf("the argument changed from %s to %s", before, after)
		}
	}
}

func TestNodeAddressesAndPodBlocks(t *testing.T) {
	for _, test := range []struct{ name, object, addrs, blocks, errs string }{
		{"bare", `{}`, "[]", "[]", ""},
		{
			"full", `{spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, "fd00:1::/64"]}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: "2001:db8::1"}, {type: Hostname, address: n1}]}}`,
			"[192.0.2.1 2001:db8::1]", "[10.244.1.0/24 fd00:1::/64]", "",
		},
		{"old field alone", `{spec: {podCIDR: 10.244.1.0/24}}`, "[]", "[10.244.1.0/24]", ""},
		{"one address twice", `{status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: ExternalIP, address: 192.0.2.1}]}}`, "[192.0.2.1]", "[]", ""},
		{"nonsense", `{spec: {podCIDRs: [x]}, status: {addresses: [{type: InternalIP, address: x}]}}`, "[]", "[]", "status.addresses[0].address spec.podCIDRs[0]"},
	} {
		node, errs := Node(decode[corev1.Node](t, test.object))
		if got := fmt.Sprint(node.Addrs); got != test.addrs {
			t.Errorf("%s: addresses %s, want %s", test.name, got, test.addrs)
		}
		if got := fmt.Sprint(node.PodCIDRs); got != test.blocks {
			t.Errorf("%s: pod blocks %s, want %s", test.name, got, test.blocks)
		}
		checkFields(t, test.name, errs, test.errs)
	}
}

// checkFields compares the fields that errors name, separated by spaces.
func checkFields(t *testing.T, name string, errs field.ErrorList, want string) {
	t.Helper()
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("%s: errors %v, want them for %q", name, errs, want)
	}
}
