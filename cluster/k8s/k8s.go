// Package k8s reads core/v1 objects into the values of package cluster.
//
// Each function takes what the API server would accept and names every field
// that it cannot use, with its API path; the value it returns then lacks what was
// not understood and is good for the rest. The package is pure: it keeps no
// state, does no I/O, never changes its argument and shares maps with it, so the
// argument must not change afterwards. Several goroutines may use it.
package k8s

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Namespace is the namespace with its automatic name label, which an object
// that never saw an API server lacks.
func Namespace(object *corev1.Namespace) *cluster.Namespace {
	labels := object.Labels
	if labels[cluster.NamespaceNameLabel] != object.Name {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = map[string]string{}
		}
		labels[cluster.NamespaceNameLabel] = object.Name
	}
	return &cluster.Namespace{Name: object.Name, Labels: labels}
}

// ServiceAccount is the service account.
func ServiceAccount(object *corev1.ServiceAccount) *cluster.ServiceAccount {
	return &cluster.ServiceAccount{Name: cluster.Name{Namespace: object.Namespace, Name: object.Name}, Labels: object.Labels}
}

// Node is the node with the addresses of its own that its status names, in
// that order.
func Node(object *corev1.Node) (*cluster.Node, field.ErrorList) {
	var errs field.ErrorList
	node := &cluster.Node{Name: object.Name, Labels: object.Labels}
	for i, a := range object.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue // host names and DNS names
		}
		path := field.NewPath("status", "addresses").Index(i).Child("address")
		if addr, ok := address(a.Address, path, &errs); ok && !slices.Contains(node.Addrs, addr) {
			node.Addrs = append(node.Addrs, addr)
		}
	}
	node.PodCIDRs = podBlocks(&object.Spec, &errs)
	return node, errs
}

func podBlocks(spec *corev1.NodeSpec, errs *field.ErrorList) []netip.Prefix {
	blocks := spec.PodCIDRs
	if len(blocks) == 0 && spec.PodCIDR != "" {
		blocks = []string{spec.PodCIDR} // the API server keeps the two alike
	}
	var prefixes []netip.Prefix
	for i, block := range blocks {
		prefix, err := netip.ParsePrefix(block)
		if err != nil {
			path := field.NewPath("spec", "podCIDRs").Index(i)
			*errs = append(*errs, field.Invalid(path, block, "must be a CIDR, for example 10.244.1.0/24"))
			continue
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes
}

// Finished tells whether the pod has ended for good. Its address may belong to
// another pod by now.
func Finished(object *corev1.Pod) bool {
	return object.Status.Phase == corev1.PodSucceeded || object.Status.Phase == corev1.PodFailed
}

// Pod is the pod with the addresses that its status names. A finished pod has
// none.
func Pod(object *corev1.Pod) (*cluster.Pod, field.ErrorList) {
	var errs field.ErrorList
	pod := &cluster.Pod{
		Name:           cluster.Name{Namespace: object.Namespace, Name: object.Name},
		Labels:         object.Labels,
		ServiceAccount: object.Spec.ServiceAccountName,
		Node:           object.Spec.NodeName,
		HostNetwork:    object.Spec.HostNetwork,
		Ports:          ports(&object.Spec, &errs),
		Workload:       workload(object),
	}
	if pod.ServiceAccount == "" {
		pod.ServiceAccount = "default"
	}
	if !Finished(object) {
		pod.Addrs = addresses(&object.Status, &errs)
	}
	return pod, errs
}

func addresses(status *corev1.PodStatus, errs *field.ErrorList) []netip.Addr {
	var addrs []netip.Addr
	add := func(value string, path *field.Path) {
		if addr, ok := address(value, path, errs); ok && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	path := field.NewPath("status")
	for i, ip := range status.PodIPs {
		add(ip.IP, path.Child("podIPs").Index(i).Child("ip"))
	}
	if len(status.PodIPs) == 0 && status.PodIP != "" {
		add(status.PodIP, path.Child("podIP"))
	}
	return addrs
}

// address reads what Kubernetes calls an IP. An IPv4 address written as IPv6 is
// that IPv4 address: the packets will be IPv4.
func address(value string, path *field.Path, errs *field.ErrorList) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
		*errs = append(*errs, field.Invalid(path, value, "must be an IP address, for example 10.9.8.7 or 2001:db8::7"))
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// workload looks through the ReplicaSet that stands between a Deployment and
// its pods: a Deployment names it after itself and the template's hash.
func workload(object *corev1.Pod) string {
	for _, owner := range object.OwnerReferences {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		hash := object.Labels["pod-template-hash"]
		if name, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" && owner.Kind == "ReplicaSet" {
			return "Deployment/" + name
		}
		return owner.Kind + "/" + owner.Name
	}
	return ""
}

var protocols = map[corev1.Protocol]traffic.Protocol{
	"":                  traffic.TCP,
	corev1.ProtocolTCP:  traffic.TCP,
	corev1.ProtocolUDP:  traffic.UDP,
	corev1.ProtocolSCTP: traffic.SCTP,
}

// protocol fills in the default, TCP.
func protocol(p corev1.Protocol, path *field.Path, errs *field.ErrorList) (traffic.Protocol, bool) {
	number, ok := protocols[p]
	if !ok {
		supported := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
		*errs = append(*errs, field.NotSupported(path, p, supported))
	}
	return number, ok
}

func validPort(number int32, path *field.Path, errs *field.ErrorList) bool {
	if number < 1 || number > 65535 {
		*errs = append(*errs, field.Invalid(path, number, "must be between 1 and 65535, inclusive"))
		return false
	}
	return true
}
