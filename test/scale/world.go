package main

import (
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// world makes a cluster's objects: each namespace has a few applications with as
// many pods each, of a team and an environment, and policies of which one lets
// applications of its own namespace and of its team in, another lets one
// application out to an environment, and others do the like. What an object is
// follows from its number.
type world struct {
	size
	made  metav1.Time
	first netip.Addr // the address of pod 0
}

func newWorld(s size) *world {
	return &world{size: s, made: metav1.NewTime(time.Now().Truncate(time.Second)), first: netip.MustParseAddr("10.64.0.1")}
}

const (
	teams        = 50
	applications = 4
)

var environments = []string{"prod", "test", "dev"}

// thisNode is the agent's.
const thisNode = "node-1"

func (w *world) meta(kind string, n int, namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: labels, CreationTimestamp: w.made,
		UID: types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", len(kind), n)),
	}
}

func namespaceName(n int) string { return fmt.Sprintf("ns-%d", n) }

func (w *world) namespace(n int) *corev1.Namespace {
	labels := map[string]string{
		"kubernetes.io/metadata.name": namespaceName(n),
		"team":                        fmt.Sprintf("team-%d", n%teams),
		"env":                         environments[n%len(environments)],
	}
	return &corev1.Namespace{
		ObjectMeta: w.meta("Namespace", n, "", namespaceName(n), labels),
		Spec:       corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}},
		Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
	}
}

func nodeName(n int) string { return fmt.Sprintf("node-%d", n+1) }

func (w *world) node(n int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: w.meta("Node", n, "", nodeName(n), map[string]string{"kubernetes.io/hostname": nodeName(n)}),
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.19.%d.%d", n/250, n%250+1)},
		}},
	}
}

// localPod is the number of the node's i-th pod. They are of many namespaces.
func (w *world) localPod(i int) int { return i*w.every() + i%w.every() }

func (w *world) every() int { return w.pods / w.local }

// nodeOf spreads the node's own pods over the cluster's namespaces.
func (w *world) nodeOf(n int) int {
	if i := n / w.every(); i < w.local && n == w.localPod(i) {
		return 0
	}
	return 1 + n%max(1, w.nodes()-1)
}

func (w *world) address(n int) string {
	b := w.first.As4()
	at := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	at += uint32(n)
	return netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}).String()
}

func (w *world) pod(n int) *corev1.Pod {
	namespace := n % w.namespaces
	app := fmt.Sprintf("app-%d", n/w.namespaces%applications)
	p := w.newPod(n, namespaceName(namespace), fmt.Sprintf("%s-7d9c5b8f6d-%05d", app, n), app)
	p.Spec.NodeName = nodeName(w.nodeOf(n))
	p.Status = running(w.address(n), w.made)
	return p
}

// newPod is a pod as large as those of a usual Deployment are.
func (w *world) newPod(n int, namespace, name, app string) *corev1.Pod {
	yes, grace := true, int64(30)
	labels := map[string]string{
		"app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": namespace,
		"pod-template-hash": "7d9c5b8f6d", "version": fmt.Sprintf("v%d", n%w.namespaces%3),
	}
	if app == "app-3" { // as a StatefulSet labels them, each by itself
		labels["statefulset.kubernetes.io/pod-name"] = name
	}
	p := &corev1.Pod{ObjectMeta: w.meta("Pod", n, namespace, name, labels)}
	p.GenerateName = app + "-7d9c5b8f6d-"
	p.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"}
	p.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-7d9c5b8f6d", UID: "0a1b2c3d-0000-4000-8000-000000000000",
		Controller: &yes, BlockOwnerDeletion: &yes,
	}}
	p.ManagedFields = managedFields(w.made)
	p.Spec = corev1.PodSpec{
		Containers: []corev1.Container{container("main", 8080), container("metrics", 9090)},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: app}}}}},
		RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, ServiceAccountName: "default",
		SchedulerName: corev1.DefaultSchedulerName, SecurityContext: &corev1.PodSecurityContext{},
		TerminationGracePeriodSeconds: &grace, EnableServiceLinks: &yes,
	}
	return p
}

func container(name string, port int32) corev1.Container {
	c := corev1.Container{
		Name: name, Image: "registry.example.com/team/" + name + ":1.2.3",
		Ports: []corev1.ContainerPort{{Name: name, ContainerPort: port, Protocol: corev1.ProtocolTCP}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		}},
		VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/" + name, ReadOnly: true}},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(port), Scheme: corev1.URISchemeHTTP}}},
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		ImagePullPolicy: corev1.PullIfNotPresent,
	}
	for _, key := range []string{"LOG_LEVEL", "REGION", "DATABASE_HOST", "CACHE_HOST"} {
		c.Env = append(c.Env, corev1.EnvVar{Name: key, Value: "a value of usual length for " + key})
	}
	return c
}

// managedFields are what each writer of a pod leaves in it.
func managedFields(at metav1.Time) []metav1.ManagedFieldsEntry {
	const fields = `{"f:metadata":{"f:annotations":{".":{},"f:prometheus.io/port":{},"f:prometheus.io/scrape":{}},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{},"f:version":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"0a1b2c3d-0000-4000-8000-000000000000\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:env":{".":{}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{}},"f:readinessProbe":{},"f:resources":{},"f:volumeMounts":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:volumes":{".":{}}}}`
	entry := func(manager, subresource string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &at,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields), Subresource: subresource,
		}
	}
	return []metav1.ManagedFieldsEntry{entry("kube-controller-manager", ""), entry("kubelet", "status")}
}

// running is the status of a pod that has an address.
func running(address string, at metav1.Time) corev1.PodStatus {
	s := corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}, HostIP: "172.19.0.1",
		StartTime: &at, QOSClass: corev1.PodQOSBurstable,
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: at})
	}
	for _, name := range []string{"main", "metrics"} {
		yes := true
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Ready: true, Started: &yes, Image: "registry.example.com/team/" + name + ":1.2.3",
			ImageID:     "registry.example.com/team/" + name + "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			ContainerID: "containerd://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}},
		})
	}
	return s
}

func (w *world) policy(n int) *networkingv1.NetworkPolicy {
	namespace, kind := n%w.namespaces, n/w.namespaces
	p := &networkingv1.NetworkPolicy{ObjectMeta: w.meta("NetworkPolicy", n, namespaceName(namespace), fmt.Sprintf("policy-%d", kind), nil)}
	if kind%2 == 0 {
		p.Spec = lettingIn(namespace, 8080)
	} else {
		p.Spec = lettingOut(namespace)
	}
	return p
}

// lettingIn isolates all pods of a namespace, and lets app-1 of its own and app-0
// of its team in.
func lettingIn(namespace int, port int32) networkingv1.NetworkPolicySpec {
	return networkingv1.NetworkPolicySpec{
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		Ingress: []networkingv1.NetworkPolicyIngressRule{
			{From: []networkingv1.NetworkPolicyPeer{{PodSelector: labelled("app", "app-1")}}, Ports: []networkingv1.NetworkPolicyPort{tcp(port)}},
			{
				From: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: labelled("team", fmt.Sprintf("team-%d", namespace%teams)), PodSelector: labelled("app", "app-0"),
				}},
				Ports: []networkingv1.NetworkPolicyPort{tcp(port), tcp(9090)},
			},
		},
	}
}

// lettingOut lets app-0 of a namespace out to an environment, to name servers and
// to a network.
func lettingOut(namespace int) networkingv1.NetworkPolicySpec {
	dns := intstr.FromInt32(53)
	udp := corev1.ProtocolUDP
	return networkingv1.NetworkPolicySpec{
		PodSelector: *labelled("app", "app-0"),
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{
			{
				To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: labelled("env", environments[namespace%len(environments)])}},
				Ports: []networkingv1.NetworkPolicyPort{tcp(8080), tcp(443)},
			},
			{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}}},
			{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24", Except: []string{fmt.Sprintf("192.0.2.%d/32", namespace%256)}}}}},
		},
	}
}

func labelled(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func tcp(port int32) networkingv1.NetworkPolicyPort {
	number, protocol := intstr.FromInt32(port), corev1.ProtocolTCP
	return networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &number}
}
