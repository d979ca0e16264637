package manifest

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// addServices reads the services; those that state addresses and node ports
// come first, so that nobody else gets them.
func (b *builder) addServices() {
	objects := b.of("Service")
	ports := nodePorts{}
	for _, o := range objects {
		b.addService(o, ports)
	}
	if len(b.errs) > 0 {
		return
	}
	slices.SortFunc(objects, func(a, b *object) int { return strings.Compare(a.String(), b.String()) })
	for _, o := range objects {
		s := b.bundle.Snapshot.Services[cluster.Name{Namespace: o.Namespace, Name: o.Name}]
		body := o.body.(*serviceBody)
		b.assignClusterIPs(o, body, s)
		b.assignNodePorts(o, body, s, ports)
	}
}

func (b *builder) addService(o *object, taken nodePorts) {
	body := o.body.(*serviceBody)
	s := &cluster.Service{Name: cluster.Name{Namespace: o.Namespace, Name: o.Name}, Selector: body.Spec.Selector}
	b.bundle.Snapshot.Services[s.Name] = s
	switch body.Spec.Type {
	case "", "ClusterIP", "NodePort", "LoadBalancer":
	case "ExternalName":
		s.Selector = nil // the name is all there is of it
		return
	default:
		b.failAt(o, "spec.type", "Unsupported value: %q: supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"", body.Spec.Type)
	}
	s.Headless = body.Spec.ClusterIP == "None"
	b.claimClusterIPs(o, body, s)
	b.addPorts(o, body, s)
	for i, p := range s.Ports {
		if other, ok := taken.claim(p.Protocol, p.NodePort, o.String()); !ok {
			b.failAt(o, fmt.Sprintf("spec.ports[%d].nodePort", i), "%s %d is a node port of %s as well: remove one", p.Protocol, p.NodePort, other)
		}
	}
}

func (b *builder) claimClusterIPs(o *object, body *serviceBody, s *cluster.Service) {
	stated, path := body.Spec.ClusterIPs, "spec.clusterIPs[%d]"
	if len(stated) == 0 && body.Spec.ClusterIP != "" {
		stated, path = []string{body.Spec.ClusterIP}, "spec.clusterIP"
	}
	for i, value := range stated {
		at := path
		if strings.Contains(path, "%") {
			at = fmt.Sprintf(path, i)
		}
		if s.Headless || value == "None" {
			s.Headless = true
			return
		}
		addr, ok := b.parseAddr(o, at, value)
		if !ok {
			continue
		}
		if other, ok := b.ips.claim(addr, o.String()); !ok {
			b.failAt(o, at, "address %s is that of %s as well: remove one of the two", addr, other)
		}
		s.ClusterIPs = append(s.ClusterIPs, addr)
	}
}

func (b *builder) addPorts(o *object, body *serviceBody, s *cluster.Service) {
	type id struct {
		protocol traffic.Protocol
		port     int32
	}
	seen, names := map[id]bool{}, map[string]bool{}
	for i, p := range body.Spec.Ports {
		at := fmt.Sprintf("spec.ports[%d]", i)
		port, ok := b.servicePort(o, at, &p)
		if !ok {
			continue
		}
		if this := (id{port.Protocol, p.Port}); seen[this] {
			b.failAt(o, at, "Duplicate value: %s %d: remove one", port.Protocol, p.Port)
		} else {
			seen[this] = true
		}
		if names[p.Name] {
			b.failAt(o, at+".name", "Duplicate value: %q: ports of a service with several need different names", p.Name)
		}
		names[p.Name] = true
		s.Ports = append(s.Ports, port)
	}
}

func (b *builder) servicePort(o *object, at string, p *servicePort) (cluster.ServicePort, bool) {
	protocol, ok := b.protocol(o, at+".protocol", p.Protocol)
	ok = b.portNumber(o, at+".port", p.Port) && ok
	if p.NodePort != 0 {
		ok = b.portNumber(o, at+".nodePort", p.NodePort) && ok
	}
	port := cluster.ServicePort{Name: p.Name, Protocol: protocol, Port: uint16(p.Port), TargetPort: uint16(p.Port), NodePort: uint16(p.NodePort)}
	switch t := p.TargetPort; {
	case t == nil, t.Type == intstr.Int && t.IntVal == 0, t.Type == intstr.String && t.StrVal == "":
	case t.Type == intstr.Int:
		ok = b.portNumber(o, at+".targetPort", t.IntVal) && ok
		port.TargetPort = uint16(t.IntVal)
	default:
		port.TargetPort, port.TargetName = 0, t.StrVal
		for _, message := range validation.IsValidPortName(t.StrVal) {
			b.failAt(o, at+".targetPort", "Invalid value: %q: %s", t.StrVal, message)
			ok = false
		}
	}
	return port, ok
}

// assignClusterIPs completes a service's addresses: one of the first family,
// or of both if the service asks for that, as the API server does.
func (b *builder) assignClusterIPs(o *object, body *serviceBody, s *cluster.Service) {
	if s.Headless || body.Spec.Type == "ExternalName" || len(s.ClusterIPs) > 0 {
		return
	}
	if b.opts.Keep != nil && b.opts.Keep.Services[s.Name] != nil {
		s.ClusterIPs = b.keepFree(b.opts.Keep.Services[s.Name].ClusterIPs, o.String())
		if len(s.ClusterIPs) > 0 {
			return
		}
	}
	for _, f := range b.serviceFamilies(body) {
		addr, ok := b.ips.take(serviceRanges[f], lowestServiceHost, serviceHost(s.Name), o.String())
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
func (b *builder) serviceFamilies(body *serviceBody) []int {
	families := b.families()
	order := []int{0, 1}
	if stated := body.Spec.IPFamilies; len(stated) > 0 && stated[0] == "IPv6" || len(stated) == 0 && !families[0] {
		order = []int{1, 0}
	}
	policy := body.Spec.IPFamilyPolicy
	switch {
	case len(body.Spec.IPFamilies) == 2, policy == "RequireDualStack":
		return order
	case policy == "PreferDualStack" && families[0] && families[1]:
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

func (b *builder) assignNodePorts(o *object, body *serviceBody, s *cluster.Service, taken nodePorts) {
	wanted := body.Spec.Type == "NodePort" || body.Spec.Type == "LoadBalancer"
	if allocate := body.Spec.AllocateLoadBalancerNodePorts; body.Spec.Type == "LoadBalancer" && allocate != nil && !*allocate {
		wanted = false
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		if wanted && p.NodePort == 0 && !b.assignNodePort(o, s, p, taken) {
			b.failAt(o, fmt.Sprintf("spec.ports[%d]", i), "no node port is left")
			return
		}
	}
}

func (b *builder) assignNodePort(o *object, s *cluster.Service, p *cluster.ServicePort, taken nodePorts) bool {
	start := hash(fmt.Sprintf("%s %s %d", s.Name, p.Protocol, p.Port)) % countNodePort
	for i := range uint64(countNodePort) {
		number := uint16(firstNodePort + (start+i)%countNodePort)
		if _, ok := taken.claim(p.Protocol, number, o.String()); ok {
			p.NodePort = number
			return true
		}
	}
	return false
}
