// Package matrix says which connections of a cluster are worth asking about,
// and lays the answers out as a table.
//
// Connections is the one list: the model answers it, and the lab sends packets
// for exactly the same. It has
//
//   - every ordered pair of distinct pods, times the container ports of the
//     destination;
//   - from the nodes and outside addresses that ingress rules mention, to every
//     container port of every pod;
//   - from every pod to the nodes and outside addresses that egress rules
//     mention, on the ports that those rules name;
//   - to each node that policies on hosts protect, on the ports of SSH, the kubelet
//     and those policies, from every pod, other node and outside address that they
//     mention, and from it to other nodes and those addresses.
//
// A rule mentions the outside with an ipBlock or by matching everybody: then one
// address of each block is asked about, and one of each of its exceptions, which
// is no pod's and no node's. An ipBlock or exception mentions the nodes whose
// addresses are in it, unless it is all addresses (/0). A rule that leaves the
// port open is asked about on TCP 80 (nodes: 22, which is always asked of them).
// Where both ends have both address families, both are asked about. Not asked is
// what no policy can touch: a pod to itself, and pods on their node's network to
// nodes and the outside or to each other on one node.
//
// The package is pure. Its values are not changed after they were made.
package matrix

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Port is a protocol and a port to ask about.
type Port struct {
	Protocol traffic.Protocol
	Number   uint16
}

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
}

// place is something that has addresses, at most one of each family.
type place struct {
	addrs []netip.Addr
	pod   *cluster.Pod
	node  string
	ports []Port // to ask about where it is a destination
}

func (p place) at(addr netip.Addr) verdict.Endpoint {
	return verdict.Endpoint{Addr: addr, Pod: p.pod, Node: p.node}
}

// policed: policies can select it.
func (p place) policed() bool { return p.pod != nil && !p.pod.HostNetwork }

// Connections are the connections to ask about, by source, then destination,
// port and family. The families of one pair and port are next to each other.
func Connections(s *cluster.Snapshot, set *policy.Set) []verdict.Connection {
	pods := podPlaces(s)
	sources, targets := outside(s, set)
	var list []verdict.Connection
	for _, from := range pods {
		for _, to := range pods {
			if from.pod != to.pod {
				list = appendPair(list, from, to)
			}
		}
		for _, to := range targets {
			if from.policed() {
				list = appendPair(list, from, to)
			}
		}
	}
	for _, from := range sources {
		for _, to := range pods {
			if to.policed() {
				list = appendPair(list, from, to)
			}
		}
	}
	return append(list, onlyNew(list, hostConnections(s, set, pods))...)
}

// appendPair adds what to ask about two places. Two pods on one node's network
// have the same address, and nothing between them leaves the node.
func appendPair(list []verdict.Connection, from, to place) []verdict.Connection {
	for _, port := range to.ports {
		for _, a := range from.addrs {
			for _, b := range to.addrs {
				if a.Is4() != b.Is4() || a == b {
					continue
				}
				list = append(list, verdict.Connection{From: from.at(a), To: to.at(b), Protocol: port.Protocol, Port: port.Number})
			}
		}
	}
	return list
}

// podPlaces are the pods that have an address, by name.
func podPlaces(s *cluster.Snapshot) []place {
	places := make([]place, 0, len(s.Pods))
	for _, pod := range s.Pods {
		places = append(places, place{addrs: onePerFamily(pod.Addrs), pod: pod, ports: containerPorts(pod)})
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(strings.Compare(a.pod.Namespace, b.pod.Namespace), strings.Compare(a.pod.Name.Name, b.pod.Name.Name))
	})
	return places
}

func containerPorts(pod *cluster.Pod) []Port {
	var ports []Port
	for _, p := range pod.Ports {
		if p.Protocol.HasPorts() {
			ports = append(ports, Port{p.Protocol, p.Number})
		}
	}
	slices.SortFunc(ports, comparePorts)
	return slices.Compact(ports)
}

// onePerFamily is the first address of each family, IPv4 first.
func onePerFamily(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, four := range []bool{true, false} {
		if i := slices.IndexFunc(addrs, func(a netip.Addr) bool { return a.Is4() == four }); i >= 0 {
			out = append(out, addrs[i])
		}
	}
	return out
}
