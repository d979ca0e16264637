package cluster

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Endpoints are where a service leads once its address is translated.
type Endpoints struct {
	Name                       // of the service
	Labels   map[string]string // of the service
	Backends []Backend         // by address, each address once
}

// Backend is an address behind a service.
type Backend struct {
	Addr  netip.Addr
	Ports []ServedPort // sorted, distinct
}

// ServedPort is a port at which a backend serves.
type ServedPort struct {
	Protocol traffic.Protocol
	Number   uint16
}

// Compare orders ports by protocol, then number.
func (p ServedPort) Compare(o ServedPort) int {
	return cmp.Or(cmp.Compare(p.Protocol, o.Protocol), cmp.Compare(p.Number, o.Number))
}

// At is what a service serves at an address; false: nothing of it is there.
func (e *Endpoints) At(addr netip.Addr) (ports []ServedPort, ok bool) {
	i, ok := slices.BinarySearchFunc(e.Backends, addr, func(b Backend, a netip.Addr) int { return b.Addr.Compare(a) })
	if !ok {
		return nil, false
	}
	return e.Backends[i].Ports, true
}

// NewEndpoints joins backends, of which several may have one address.
func NewEndpoints(name Name, labels map[string]string, backends []Backend) *Endpoints {
	ports := map[netip.Addr][]ServedPort{}
	for _, b := range backends {
		ports[b.Addr] = append(ports[b.Addr], b.Ports...)
	}
	e := &Endpoints{Name: name, Labels: labels}
	for addr, served := range ports {
		slices.SortFunc(served, ServedPort.Compare)
		e.Backends = append(e.Backends, Backend{addr, slices.Compact(served)})
	}
	slices.SortFunc(e.Backends, func(a, b Backend) int { return a.Addr.Compare(b.Addr) })
	return e
}

// Selected are the endpoints of a service that its selector gives it.
func (s *Snapshot) Selected(service *Service) *Endpoints {
	var backends []Backend
	for _, pod := range s.Backends(service) {
		var served []ServedPort
		for _, p := range service.Ports {
			if number, ok := p.Target(pod); ok {
				served = append(served, ServedPort{p.Protocol, number})
			}
		}
		for _, addr := range pod.Addrs {
			backends = append(backends, Backend{addr, served})
		}
	}
	return NewEndpoints(service.Name, service.Labels, backends)
}
