package verdict

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// nodesByAddr are the nodes by their addresses; of those that claim the same one
// the first by name has it.
func nodesByAddr(s *cluster.Snapshot) map[netip.Addr]*cluster.Node {
	found := map[netip.Addr]*cluster.Node{}
	names := slices.Sorted(maps.Keys(s.Nodes))
	for _, name := range slices.Backward(names) {
		for _, addr := range s.Nodes[name].Addrs {
			found[addr] = s.Nodes[name]
		}
	}
	return found
}

// end is what a policy's peers see of one end of a connection; d is the
// direction of the policy.
func (e *Evaluator) end(c Connection, at Endpoint, d traffic.Direction) *policy.End {
	end := &policy.End{Addr: at.Addr, Pod: at.NetworkPod(), Node: e.nodes[at.Addr], Names: e.learned.Of(at.Addr)}
	if end.Pod != nil {
		end.Labels, end.Node = e.labels(end.Pod), nil
	}
	if subject := c.subject(d).NetworkPod(); end.Node != nil && subject != nil {
		end.Own = end.Node.Name == subject.Node
	}
	for _, n := range e.networks {
		if n.Contains(at.Addr) {
			end.Networks = append(end.Networks, n)
		}
	}
	end.Services = e.services[at.Addr]
	if d == traffic.Egress && at == c.To {
		end.Target = &cluster.ServedPort{Protocol: c.Protocol, Number: c.Port}
	}
	return end
}

// servicesByAddr are the services that lead to an address.
func servicesByAddr(s *cluster.Snapshot) map[netip.Addr][]*cluster.Endpoints {
	found := map[netip.Addr][]*cluster.Endpoints{}
	for _, name := range slices.SortedFunc(maps.Keys(s.Endpoints), cluster.Name.Compare) {
		for _, b := range s.Endpoints[name].Backends {
			found[b.Addr] = append(found[b.Addr], s.Endpoints[name])
		}
	}
	return found
}

// labels are a pod's as selectors see them.
func (e *Evaluator) labels(pod *cluster.Pod) *policy.Labels {
	account := cluster.Name{Namespace: pod.Namespace, Name: pod.ServiceAccount}
	return &policy.Labels{
		Own: pod.Labels, Namespace: e.namespace(pod.Namespace),
		Account: policy.Origin{Name: pod.ServiceAccount, Labels: e.snapshot.AccountLabels(account)},
	}
}

func (e *Evaluator) namespace(name string) policy.Origin {
	if name == "" {
		return policy.Origin{}
	}
	return policy.Origin{Name: name, Labels: e.snapshot.NamespaceLabels(name)}
}
