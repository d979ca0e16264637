package lab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// Status is what there is in a lab.
type Status struct {
	Network  string          `json:"network"`
	Enforced bool            `json:"enforced"`
	Nodes    []NodeStatus    `json:"nodes"`
	Services []ServiceStatus `json:"services,omitempty"`
	Policies []string        `json:"policies,omitempty"`
	Notes    []string        `json:"notes,omitempty"`
}

// NodeStatus is a node and its pods.
type NodeStatus struct {
	Name   string         `json:"name"`
	Addrs  []netip.Addr   `json:"addresses"`
	Pods   []PodStatus    `json:"pods,omitempty"`
	Denied []DeniedStatus `json:"denied,omitempty"`
}

// PodStatus is a pod.
type PodStatus struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addresses"`
	Ports []string     `json:"ports,omitempty"`
}

// DeniedStatus counts what pods with the same policies were denied since the
// first of them came.
type DeniedStatus struct {
	Direction string   `json:"direction"`
	Policies  []string `json:"policies"`
	Packets   uint64   `json:"packets"`
	Bytes     uint64   `json:"bytes"`
}

// ServiceStatus is a service.
type ServiceStatus struct {
	Name  string       `json:"name"`
	Addrs []netip.Addr `json:"addresses,omitempty"`
	Ports []string     `json:"ports,omitempty"`
}

// Status tells what there is.
func (l *Lab) Status(ctx context.Context) (*Status, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	status := &Status{Network: l.config.Network.String(), Enforced: !l.config.NoEnforce, Notes: l.View().Notes}
	for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
		node, err := l.nodes[name].status(ctx, l.snapshot)
		if err != nil {
			return nil, fmt.Errorf("look at node %s: %w", name, err)
		}
		status.Nodes = append(status.Nodes, node)
	}
	for _, svc := range l.snapshot.Services {
		status.Services = append(status.Services, serviceStatus(svc))
	}
	slices.SortFunc(status.Services, func(a, b ServiceStatus) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range l.policies.Sorted() {
		status.Policies = append(status.Policies, p.Ref.String())
	}
	slices.Sort(status.Policies)
	return status, nil
}

func (n *node) status(ctx context.Context, s *cluster.Snapshot) (NodeStatus, error) {
	status := NodeStatus{Name: n.object.Name, Addrs: n.object.Addrs}
	for _, pod := range sortedPods(s) {
		if pod.Node == n.object.Name {
			status.Pods = append(status.Pods, podStatus(pod))
		}
	}
	if n.engine == nil {
		return status, nil
	}
	var err error
	status.Denied, err = n.denied(ctx)
	return status, err
}

func podStatus(pod *cluster.Pod) PodStatus {
	status := PodStatus{Name: pod.Name.String(), Addrs: pod.Addrs}
	for _, at := range slices.SortedFunc(maps.Keys(podPorts(pod)), comparePorts) {
		status.Ports = append(status.Ports, at.String())
	}
	return status
}

// denied is what the node's tables have counted.
func (n *node) denied(ctx context.Context) ([]DeniedStatus, error) {
	counted, err := n.dataplane.Denied(ctx)
	if err != nil {
		return nil, err
	}
	var list []DeniedStatus
	err = n.engine.View(ctx, func(p *plan.Plan) {
		for id, d := range counted {
			if class, ok := p.Classes[id]; ok && d.Packets > 0 {
				list = append(list, DeniedStatus{class.Direction.String(), slices.Clone(class.Policies), d.Packets, d.Bytes})
			}
		}
	})
	slices.SortFunc(list, func(a, b DeniedStatus) int {
		return cmp.Or(strings.Compare(a.Direction, b.Direction), slices.Compare(a.Policies, b.Policies))
	})
	return list, err
}

func serviceStatus(svc *cluster.Service) ServiceStatus {
	status := ServiceStatus{Name: svc.Name.String(), Addrs: svc.ClusterIPs}
	for _, p := range svc.Ports {
		text := fmt.Sprintf("%s %d", p.Protocol, p.Port)
		if p.NodePort != 0 {
			text += fmt.Sprintf(" (node port %d)", p.NodePort)
		}
		status.Ports = append(status.Ports, text)
	}
	return status
}
