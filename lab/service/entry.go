// Package service leads services' addresses to their backends, as kube-proxy
// does: with nftables, by the first packet of a connection, to a backend chosen
// at random.
//
// Entries works out what there is to translate; a Proxy does it on one node. It
// owns the table "inet services" of its namespace, and is used by one goroutine
// at a time. As with kube-proxy the translation is at priority dstnat, marks
// 0x4000 ask for masquerading, and an address of a service is refused on ports
// that it does not have.
package service

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Entry is one way into a service and where it leads.
type Entry struct {
	Service  cluster.Name
	Addr     netip.Addr // a cluster IP; unspecified, of its family: every address of a node
	Protocol traffic.Protocol
	Port     uint16
	Backends []netip.AddrPort // sorted; none: nothing answers
}

// name is the entry's chain, different for each entry.
func (e Entry) name() string {
	kind := "cluster"
	if e.Addr.IsUnspecified() {
		kind = "node"
	}
	family := "4"
	if e.Addr.Is6() {
		family = "6"
	}
	return fmt.Sprintf("%s%s/%s/%s/%d", kind, family, e.Service, strings.ToLower(e.Protocol.String()), e.Port)
}

func (e Entry) equal(o Entry) bool {
	return e.Addr == o.Addr && slices.Equal(e.Backends, o.Backends)
}

// Entries are the ways into the services of a cluster, by service and port.
func Entries(s *cluster.Snapshot) []Entry {
	var entries []Entry
	for _, name := range slices.SortedFunc(maps.Keys(s.Services), compareNames) {
		service := s.Services[name]
		backends := Backends(s, service)
		for _, port := range service.Ports {
			for _, addr := range service.ClusterIPs {
				entries = append(entries, entry(service, addr, port, port.Port, backends))
			}
			if port.NodePort != 0 {
				for _, addr := range families(service) {
					entries = append(entries, entry(service, addr, port, port.NodePort, backends))
				}
			}
		}
	}
	return entries
}

func compareNames(a, b cluster.Name) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// families are the unspecified addresses of the families that a service has.
func families(service *cluster.Service) []netip.Addr {
	var found []netip.Addr
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if slices.ContainsFunc(service.ClusterIPs, func(a netip.Addr) bool { return a.Is4() == any.Is4() }) {
			found = append(found, any)
		}
	}
	return found
}

func entry(service *cluster.Service, addr netip.Addr, port cluster.ServicePort, number uint16, backends []*cluster.Pod) Entry {
	e := Entry{Service: service.Name, Addr: addr, Protocol: port.Protocol, Port: number}
	for _, pod := range backends {
		target := TargetPort(pod, port)
		if target == 0 {
			continue
		}
		if i := slices.IndexFunc(pod.Addrs, func(a netip.Addr) bool { return a.Is4() == addr.Is4() }); i >= 0 {
			e.Backends = append(e.Backends, netip.AddrPortFrom(pod.Addrs[i], target))
		}
	}
	slices.SortFunc(e.Backends, netip.AddrPort.Compare)
	e.Backends = slices.Compact(e.Backends)
	return e
}

// TargetPort is the port of a pod that a service's port leads to; zero: the pod
// has no port of that name.
func TargetPort(pod *cluster.Pod, port cluster.ServicePort) uint16 {
	if port.TargetName == "" {
		return cmp.Or(port.TargetPort, port.Port)
	}
	if numbers := pod.Resolve(port.TargetName, port.Protocol); len(numbers) > 0 {
		return numbers[0]
	}
	return 0
}

// Backends are the pods that a service selects, by name.
func Backends(s *cluster.Snapshot, service *cluster.Service) []*cluster.Pod {
	if len(service.Selector) == 0 {
		return nil
	}
	var found []*cluster.Pod
	for _, pod := range s.Pods {
		if pod.Namespace == service.Namespace && selects(service.Selector, pod.Labels) {
			found = append(found, pod)
		}
	}
	slices.SortFunc(found, func(a, b *cluster.Pod) int { return compareNames(a.Name, b.Name) })
	return found
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}
