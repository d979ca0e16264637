package k8s

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Service is the service. One of type ExternalName has neither addresses nor
// backends here.
func Service(object *corev1.Service) (*cluster.Service, field.ErrorList) {
	var errs field.ErrorList
	service := &cluster.Service{
		Name:     cluster.Name{Namespace: object.Namespace, Name: object.Name},
		Headless: object.Spec.ClusterIP == corev1.ClusterIPNone,
	}
	if object.Spec.Type == corev1.ServiceTypeExternalName {
		return service, nil
	}
	service.Selector = object.Spec.Selector
	ips, path := object.Spec.ClusterIPs, field.NewPath("spec", "clusterIPs")
	if len(ips) == 0 && object.Spec.ClusterIP != "" {
		ips = []string{object.Spec.ClusterIP}
	}
	for i, ip := range ips {
		if ip == corev1.ClusterIPNone || ip == "" {
			continue
		}
		if addr, ok := address(ip, path.Index(i), &errs); ok && !slices.Contains(service.ClusterIPs, addr) {
			service.ClusterIPs = append(service.ClusterIPs, addr)
		}
	}
	for i := range object.Spec.Ports {
		if port, ok := servicePort(&object.Spec.Ports[i], field.NewPath("spec", "ports").Index(i), &errs); ok {
			service.Ports = append(service.Ports, port)
		}
	}
	return service, errs
}

// servicePort fills in the default target, the port itself.
func servicePort(p *corev1.ServicePort, path *field.Path, errs *field.ErrorList) (cluster.ServicePort, bool) {
	number, ok := protocol(p.Protocol, path.Child("protocol"), errs)
	ok = validPort(p.Port, path.Child("port"), errs) && ok
	port := cluster.ServicePort{Name: p.Name, Protocol: number, Port: uint16(p.Port), TargetPort: uint16(p.Port)}
	switch target := p.TargetPort; {
	case target.Type == intstr.String && target.StrVal != "":
		port.TargetPort, port.TargetName = 0, target.StrVal
	case target.Type == intstr.Int && target.IntVal != 0:
		ok = validPort(target.IntVal, path.Child("targetPort"), errs) && ok
		port.TargetPort = uint16(target.IntVal)
	}
	if p.NodePort != 0 {
		ok = validPort(p.NodePort, path.Child("nodePort"), errs) && ok
		port.NodePort = uint16(p.NodePort)
	}
	return port, ok
}
