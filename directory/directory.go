// Package directory finds in a snapshot what a person names, and the connections
// that lead there.
//
// Names are written
//
//	NAMESPACE/POD             a pod
//	NAMESPACE/WORKLOAD        the first pod of a Deployment, DaemonSet …
//	NAMESPACE/KIND/WORKLOAD   the same where two kinds share a name
//	pod/NAMESPACE/POD         a pod, where the namespace is called node or ip
//	node/NAME                 a node
//	ip/ADDRESS                who has the address: a pod, a node, a service or the outside
//	service/NAMESPACE/NAME    a service, which leads to its backends
//
// Its errors are for the person: they say what was not found and what has a
// similar name. A Directory only reads its snapshot and may be used by several
// goroutines. The package is pure.
package directory

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Directory finds the things of one snapshot.
type Directory struct {
	snapshot *cluster.Snapshot
}

// New is the directory of a snapshot.
func New(s *cluster.Snapshot) *Directory { return &Directory{s} }

// Place is what a name stands for: a pod, a node or a service, or with none of
// them set an address outside the cluster.
type Place struct {
	Addrs   []netip.Addr
	Pod     *cluster.Pod
	Node    string
	Service *cluster.Service
	// Replicas are all pods of the workload that was named, Pod the first of
	// them; empty: no workload was named.
	Replicas []*cluster.Pod
}

// String is the name of what was found, in the form that Find reads.
func (p Place) String() string {
	switch {
	case p.Service != nil:
		return "service/" + p.Service.Name.String()
	case len(p.Addrs) == 0 && p.Pod != nil:
		return p.Pod.Name.String()
	case len(p.Addrs) == 0:
		return "node/" + p.Node
	}
	return p.at(p.Addrs[0]).String()
}

func (p Place) at(addr netip.Addr) verdict.Endpoint {
	return verdict.Endpoint{Addr: addr, Pod: p.Pod, Node: p.Node}
}

// Find finds what a name stands for.
func (d *Directory) Find(name string) (Place, error) {
	kind, rest, _ := strings.Cut(name, "/")
	switch {
	case kind == "ip":
		return d.findAddr(name, rest)
	case kind == "node" && !strings.Contains(rest, "/"):
		return d.findNode(name, rest)
	case kind == "service" && strings.Contains(rest, "/"):
		return d.findService(name, rest)
	case kind == "pod" && strings.Contains(rest, "/"):
		return d.findPod(name, rest)
	}
	return d.findPod(name, name)
}

func (d *Directory) findAddr(name, text string) (Place, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return Place{}, fmt.Errorf("%s: %q is not an address: write ip/203.0.113.10 or ip/2001:db8::10", name, text)
	}
	return d.At(addr), nil
}

// At is who has an address: a pod on the pod network, a node, a service, or
// nobody in the cluster.
func (d *Directory) At(addr netip.Addr) Place {
	addr = addr.Unmap()
	place := Place{Addrs: []netip.Addr{addr}}
	for _, pod := range d.snapshot.Pods {
		if !pod.HostNetwork && slices.Contains(pod.Addrs, addr) {
			place.Pod = pod
			return place
		}
	}
	for _, node := range d.snapshot.Nodes {
		if slices.Contains(node.Addrs, addr) {
			place.Node = node.Name
			return place
		}
	}
	for _, service := range d.snapshot.Services {
		if slices.Contains(service.ClusterIPs, addr) {
			place.Service = service
			return place
		}
	}
	return place
}

// findNode finds a node. A namespace may be called node as well.
func (d *Directory) findNode(name, text string) (Place, error) {
	node, isNode := d.snapshot.Nodes[text]
	_, isPod := d.snapshot.Pods[cluster.Name{Namespace: "node", Name: text}]
	switch {
	case isNode && isPod:
		return Place{}, fmt.Errorf("%s is a node and a pod: for the pod write pod/%s", name, name)
	case isPod:
		return d.findPod(name, name)
	case !isNode:
		return Place{}, d.notFound("node", name)
	}
	return Place{Addrs: node.Addrs, Node: node.Name}, nil
}

func (d *Directory) findService(name, text string) (Place, error) {
	namespace, bare, _ := strings.Cut(text, "/")
	service, ok := d.snapshot.Services[cluster.Name{Namespace: namespace, Name: bare}]
	if !ok {
		return Place{}, d.notFound("service", name)
	}
	return Place{Addrs: service.ClusterIPs, Service: service}, nil
}

// findPod finds a pod, or the first pod of a workload.
func (d *Directory) findPod(name, text string) (Place, error) {
	namespace, bare, _ := strings.Cut(text, "/")
	pods := d.snapshot.Find(namespace, bare)
	if len(pods) == 0 {
		return Place{}, d.notFound("pod or workload", name)
	}
	place := Place{Addrs: pods[0].Addrs, Pod: pods[0]}
	if pods[0].Name.Name == bare {
		return place, nil
	}
	var workloads []string
	for _, pod := range pods {
		if full := namespace + "/" + pod.Workload; !slices.Contains(workloads, full) {
			workloads = append(workloads, full)
		}
	}
	if len(workloads) > 1 {
		slices.Sort(workloads)
		return Place{}, fmt.Errorf("%s is the name of several workloads: write %s", name, strings.Join(workloads, " or "))
	}
	place.Replicas = pods
	return place, nil
}
