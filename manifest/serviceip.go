package manifest

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// readServices reads the services and what they state of themselves.
func (b *builder) readServices() {
	b.nodePorts = nodePorts{}
	for _, o := range b.of("Service") {
		s, errs := readService(o.body.(*corev1.Service))
		b.failFields(o, "", errs)
		b.bundle.Snapshot.Services[s.Name] = s
		b.claimStated(o, s)
	}
}

// claimStated reserves the addresses and node ports that the input states.
func (b *builder) claimStated(o *object, s *cluster.Service) {
	for _, addr := range s.ClusterIPs {
		b.claimAddr(o, "spec.clusterIP", addr, o.owner())
	}
	for i, p := range s.Ports {
		if other, ok := b.nodePorts.claim(p.Protocol, p.NodePort, o.owner()); !ok {
			b.failAt(o, fmt.Sprintf("spec.ports[%d].nodePort", i), "%s %d is a node port of %s as well: remove one", p.Protocol, p.NodePort, other)
		}
	}
}

// completeServices assigns what the input leaves open.
func (b *builder) completeServices() {
	objects := b.of("Service")
	slices.SortFunc(objects, func(a, b *object) int { return strings.Compare(a.String(), b.String()) })
	for _, o := range objects {
		s := b.bundle.Snapshot.Services[cluster.Name{Namespace: o.Namespace, Name: o.Name}]
		spec := &o.body.(*corev1.Service).Spec
		b.assignClusterIPs(o, spec, s)
		b.assignNodePorts(o, spec, s)
	}
}

// wantsClusterIP tells whether a service has an address and the input does not
// say which.
func wantsClusterIP(spec *corev1.ServiceSpec, s *cluster.Service) bool {
	return !s.Headless && spec.Type != corev1.ServiceTypeExternalName && len(s.ClusterIPs) == 0
}

// assignClusterIPs completes a service's addresses: one of the first family,
// or of both if the service asks for that, as the API server does.
func (b *builder) assignClusterIPs(o *object, spec *corev1.ServiceSpec, s *cluster.Service) {
	if !wantsClusterIP(spec, s) {
		return
	}
	for _, f := range b.serviceFamilies(spec) {
		addr, ok := b.ips.take(serviceRanges[f], lowestServiceHost, serviceHost(s.Name), o.owner())
		if !ok {
			b.failAt(o, "", "no service address is left in %s", serviceRanges[f])
			return
		}
		s.ClusterIPs = append(s.ClusterIPs, addr)
	}
}

const lowestServiceHost = 1

// serviceHost is where the search for a service's address begins. The two that
// every cluster has get the numbers that people know them by.
func serviceHost(name cluster.Name) uint64 {
	switch name {
	case cluster.Name{Namespace: "default", Name: "kubernetes"}:
		return 1
	case cluster.Name{Namespace: "kube-system", Name: "kube-dns"}:
		return 10
	}
	return hash(name.String())
}

// serviceFamilies are the indexes of the families of which a service gets
// addresses.
func (b *builder) serviceFamilies(spec *corev1.ServiceSpec) []int {
	order := []int{0, 1}
	if stated := spec.IPFamilies; len(stated) > 0 && stated[0] == corev1.IPv6Protocol || len(stated) == 0 && !b.families[0] {
		order = []int{1, 0}
	}
	policy := corev1.IPFamilyPolicySingleStack
	if spec.IPFamilyPolicy != nil {
		policy = *spec.IPFamilyPolicy
	}
	switch {
	case len(spec.IPFamilies) == 2, policy == corev1.IPFamilyPolicyRequireDualStack:
		return order
	case policy == corev1.IPFamilyPolicyPreferDualStack && b.families[0] && b.families[1]:
		return order
	}
	return order[:1]
}

// nodePorts knows which service has which node port.
type nodePorts map[nodePort]string

type nodePort struct {
	protocol traffic.Protocol
	number   uint16
}

// claim gives a port to an owner; it fails if another has it.
func (n nodePorts) claim(protocol traffic.Protocol, number uint16, owner string) (other string, ok bool) {
	if number == 0 {
		return "", true
	}
	at := nodePort{protocol, number}
	if other, taken := n[at]; taken {
		return other, false
	}
	n[at] = owner
	return "", true
}

// The range out of which node ports are made up is the API server's default.
const (
	firstNodePort = 30000
	countNodePort = 2768
)

// wantsNodePorts tells whether a service's ports are open on every node.
func wantsNodePorts(spec *corev1.ServiceSpec) bool {
	if spec.Type == corev1.ServiceTypeLoadBalancer {
		allocate := spec.AllocateLoadBalancerNodePorts
		return allocate == nil || *allocate
	}
	return spec.Type == corev1.ServiceTypeNodePort
}

func (b *builder) assignNodePorts(o *object, spec *corev1.ServiceSpec, s *cluster.Service) {
	for i := range s.Ports {
		p := &s.Ports[i]
		if wantsNodePorts(spec) && p.NodePort == 0 && !b.assignNodePort(o, s, p) {
			b.failAt(o, fmt.Sprintf("spec.ports[%d]", i), "no node port is left")
			return
		}
	}
}

func (b *builder) assignNodePort(o *object, s *cluster.Service, p *cluster.ServicePort) bool {
	start := hash(fmt.Sprintf("%s %s %d", s.Name, p.Protocol, p.Port)) % countNodePort
	for i := range uint64(countNodePort) {
		number := uint16(firstNodePort + (start+i)%countNodePort)
		if _, ok := b.nodePorts.claim(p.Protocol, number, o.owner()); ok {
			p.NodePort = number
			return true
		}
	}
	return false
}
