package manifest

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// readService is the service as the object states it. One of type ExternalName
// is only a name.
func readService(object *corev1.Service) (*cluster.Service, field.ErrorList) {
	spec := &object.Spec
	s := &cluster.Service{
		Name:     cluster.Name{Namespace: object.Namespace, Name: object.Name},
		Labels:   object.Labels,
		Headless: spec.ClusterIP == corev1.ClusterIPNone || slices.Contains(spec.ClusterIPs, corev1.ClusterIPNone),
	}
	errs := checkServiceWords(spec)
	errs = append(errs, metav1validation.ValidateLabels(spec.Selector, field.NewPath("spec", "selector"))...)
	if spec.Type == corev1.ServiceTypeExternalName {
		s.Headless = false
		return s, errs
	}
	s.Selector = spec.Selector
	if !s.Headless {
		s.ClusterIPs = clusterIPs(spec, &errs)
	}
	path := field.NewPath("spec", "ports")
	errs = append(errs, checkServicePorts(spec.Ports, path)...)
	for i := range spec.Ports {
		if port, ok := servicePort(&spec.Ports[i], path.Index(i), &errs); ok {
			s.Ports = append(s.Ports, port)
		}
	}
	return s, errs
}

func clusterIPs(spec *corev1.ServiceSpec, errs *field.ErrorList) []netip.Addr {
	stated, path := spec.ClusterIPs, field.NewPath("spec", "clusterIPs")
	at := path.Index
	if len(stated) == 0 && spec.ClusterIP != "" {
		stated = []string{spec.ClusterIP}
		at = func(int) *field.Path { return field.NewPath("spec", "clusterIP") }
	}
	var addrs []netip.Addr
	for i, value := range stated {
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.Is4In6() {
			*errs = append(*errs, field.Invalid(at(i), value, "must be an IP address, for example 10.96.0.20 or fd00:10:96::20, or None"))
		} else if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

var protocols = map[corev1.Protocol]traffic.Protocol{
	"": traffic.TCP, corev1.ProtocolTCP: traffic.TCP, corev1.ProtocolUDP: traffic.UDP, corev1.ProtocolSCTP: traffic.SCTP,
}

func servicePort(p *corev1.ServicePort, path *field.Path, errs *field.ErrorList) (cluster.ServicePort, bool) {
	before := len(*errs)
	number := func(n int32, name string) uint16 {
		for _, message := range validation.IsValidPortNum(int(n)) {
			*errs = append(*errs, field.Invalid(path.Child(name), n, message))
		}
		return uint16(n)
	}
	protocol, ok := protocols[p.Protocol]
	if !ok {
		supported := []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
		*errs = append(*errs, field.NotSupported(path.Child("protocol"), p.Protocol, supported))
	}
	port := cluster.ServicePort{Name: p.Name, Protocol: protocol, Port: number(p.Port, "port")}
	port.TargetPort = port.Port
	switch target := p.TargetPort; {
	case target.Type == intstr.String && target.StrVal != "":
		port.TargetPort, port.TargetName = 0, target.StrVal
		for _, message := range validation.IsValidPortName(target.StrVal) {
			*errs = append(*errs, field.Invalid(path.Child("targetPort"), target.StrVal, message))
		}
	case target.Type == intstr.Int && target.IntVal != 0:
		port.TargetPort = number(target.IntVal, "targetPort")
	}
	if p.NodePort != 0 {
		port.NodePort = number(p.NodePort, "nodePort")
	}
	return port, len(*errs) == before
}

// checkServiceWords checks the fields that take one of a few words.
func checkServiceWords(spec *corev1.ServiceSpec) field.ErrorList {
	path := field.NewPath("spec")
	errs := checkWord(spec.Type, path.Child("type"), "",
		corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	for i, f := range spec.IPFamilies {
		errs = append(errs, checkWord(f, path.Child("ipFamilies").Index(i), corev1.IPv4Protocol, corev1.IPv6Protocol)...)
	}
	if p := spec.IPFamilyPolicy; p != nil {
		errs = append(errs, checkWord(*p, path.Child("ipFamilyPolicy"),
			corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack)...)
	}
	return errs
}

func checkWord[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, slices.DeleteFunc(allowed, func(a T) bool { return a == "" }))}
}

// checkServicePorts checks that names and numbers tell the ports apart.
func checkServicePorts(ports []corev1.ServicePort, path *field.Path) field.ErrorList {
	type id struct {
		protocol traffic.Protocol
		port     int32
	}
	var errs field.ErrorList
	seen, names := map[id]bool{}, map[string]bool{}
	for i, p := range ports {
		at, this := path.Index(i), id{protocols[p.Protocol], p.Port}
		if seen[this] {
			errs = append(errs, field.Duplicate(at.Child("port"), p.Port))
		}
		seen[this] = true
		switch {
		case len(ports) > 1 && p.Name == "":
			errs = append(errs, field.Required(at.Child("name"), "a service with several ports needs a name for each"))
		case p.Name != "" && names[p.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		}
		names[p.Name] = true
	}
	return errs
}
