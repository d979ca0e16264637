package k8s

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// EndpointSlice is a part of where a service leads, and which service it is; its
// name is empty for a slice that belongs to none.
func EndpointSlice(object *discoveryv1.EndpointSlice) (service cluster.Name, backends []cluster.Backend, errs field.ErrorList) {
	service = cluster.Name{Namespace: object.Namespace, Name: object.Labels[discoveryv1.LabelServiceName]}
	if object.AddressType == discoveryv1.AddressTypeFQDN {
		return service, nil, nil // names are for others to look up
	}
	var served []cluster.ServedPort
	for i, p := range object.Ports {
		path := field.NewPath("ports").Index(i)
		if p.Port == nil {
			continue // all ports, says the API, and leaves them to who reads
		}
		port := cluster.ServedPort{Protocol: protocols[""]}
		ok := validPort(*p.Port, path.Child("port"), &errs)
		if p.Protocol != nil && ok {
			port.Protocol, ok = protocol(*p.Protocol, path.Child("protocol"), &errs)
		}
		if port.Number = uint16(*p.Port); ok {
			served = append(served, port)
		}
	}
	for i := range object.Endpoints {
		for j, text := range object.Endpoints[i].Addresses {
			path := field.NewPath("endpoints").Index(i).Child("addresses").Index(j)
			if addr, ok := address(text, path, &errs); ok {
				backends = append(backends, cluster.Backend{Addr: addr, Ports: served})
			}
		}
	}
	return service, backends, errs
}
