// Package cluster is a Kubernetes cluster as far as network policy needs it:
// namespaces, pods, nodes and services, in plain values.
//
// A Snapshot owns its maps; the objects in it are shared and never changed
// after they were put in, so that a Snapshot can be copied cheaply and read by
// several goroutines. The package does no I/O.
package cluster

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// NamespaceNameLabel is the label that the API server sets on every namespace.
const NamespaceNameLabel = "kubernetes.io/metadata.name"

// Name is a namespaced object's name.
type Name struct {
	Namespace, Name string
}

// String is "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Namespace is a namespace and its labels, the automatic name label included.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Pod is one pod.
type Pod struct {
	Name
	Labels         map[string]string
	ServiceAccount string // "default" unless the pod names another
	Node           string // the node it runs on; empty: not scheduled
	Addrs          []netip.Addr
	HostNetwork    bool // shares its node's addresses; no selector picks it
	Ports          []Port
	// Workload is "kind/name" of what the pod was made from, for people;
	// empty for a pod that stands alone.
	Workload string
}

// Port is a port that a container declares.
type Port struct {
	Name     string // empty: unnamed
	Protocol traffic.Protocol
	Number   uint16
}

// ServiceAccount is a service account and its labels.
type ServiceAccount struct {
	Name
	Labels map[string]string
}

// Node is one node.
type Node struct {
	Name     string
	Labels   map[string]string
	Addrs    []netip.Addr
	PodCIDRs []netip.Prefix
}

// Service is one service.
type Service struct {
	Name
	Labels     map[string]string
	ClusterIPs []netip.Addr // empty for a headless or external one
	Headless   bool
	Selector   map[string]string // empty: the service selects nothing by itself
	Ports      []ServicePort
}

// ServicePort is one port of a service.
type ServicePort struct {
	Name       string
	Protocol   traffic.Protocol
	Port       uint16
	TargetPort uint16 // zero: TargetName decides
	TargetName string // a container port's name, resolved on each backend
	NodePort   uint16 // zero: none
}

// Snapshot is a cluster at one moment.
type Snapshot struct {
	Namespaces      map[string]*Namespace
	Pods            map[Name]*Pod
	Nodes           map[string]*Node
	Services        map[Name]*Service
	ServiceAccounts map[Name]*ServiceAccount
	// Endpoints are where the services lead that policies mention, by the
	// services' names.
	Endpoints map[Name]*Endpoints
	// Names are domain names outside the cluster that its name servers know, in
	// lower case and without the root's dot. Others are not known here.
	Names map[string][]netip.Addr
}

// NewSnapshot is an empty cluster.
func NewSnapshot() *Snapshot {
	return &Snapshot{
		Namespaces:      map[string]*Namespace{},
		Pods:            map[Name]*Pod{},
		Nodes:           map[string]*Node{},
		Services:        map[Name]*Service{},
		ServiceAccounts: map[Name]*ServiceAccount{},
		Endpoints:       map[Name]*Endpoints{},
		Names:           map[string][]netip.Addr{},
	}
}

// NamespaceLabels are the labels of a namespace. One that was never declared
// exists all the same and carries its automatic name label.
func (s *Snapshot) NamespaceLabels(name string) map[string]string {
	if ns, ok := s.Namespaces[name]; ok {
		return ns.Labels
	}
	return map[string]string{NamespaceNameLabel: name}
}

// AccountLabels are the labels of a service account; one that was never declared
// has none.
func (s *Snapshot) AccountLabels(name Name) map[string]string {
	if a, ok := s.ServiceAccounts[name]; ok {
		return a.Labels
	}
	return nil
}

// Resolve is the numbers of the pod's container ports of that name and
// protocol. Several containers may share a name with different numbers.
func (p *Pod) Resolve(name string, protocol traffic.Protocol) []uint16 {
	var numbers []uint16
	for _, port := range p.Ports {
		if port.Name == name && port.Protocol == protocol {
			numbers = append(numbers, port.Number)
		}
	}
	return numbers
}
