package matrix

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// kubeletPort is where a node's kubelet listens.
const kubeletPort = 10250

// hostConnections are the connections of nodes that policies protect: to each of
// them from every pod, other node and outside address that is asked about, and
// from it to other nodes and those addresses.
func hostConnections(s *cluster.Snapshot, set *policy.Set, pods []place) []verdict.Connection {
	protected := protectedNodes(s, set)
	if len(protected) == 0 {
		return nil
	}
	var all []place
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		all = append(all, place{addrs: onePerFamily(s.Nodes[name].Addrs), node: name})
	}
	outside := outsideOfHosts(s, set)
	in, out := hostPorts(set, traffic.Ingress), hostPorts(set, traffic.Egress)
	var list []verdict.Connection
	for _, from := range slices.Concat(slices.DeleteFunc(slices.Clone(pods), unpoliced), all, outside) {
		for _, to := range protected {
			if to.ports = in; from.node != to.node {
				list = appendPair(list, from, to)
			}
		}
	}
	for _, from := range protected {
		for _, to := range outside {
			to.ports = out
			list = appendPair(list, from, to)
		}
		for _, to := range all {
			if to.ports = in; from.node != to.node {
				list = append(list, onlyNew(list, appendPair(nil, from, to))...)
			}
		}
	}
	return list
}

func unpoliced(p place) bool { return !p.policed() }

// protectedNodes are the nodes that policies are about, by name.
func protectedNodes(s *cluster.Snapshot, set *policy.Set) []place {
	found := map[string]place{}
	add := func(n *cluster.Node) { found[n.Name] = place{addrs: onePerFamily(n.Addrs), node: n.Name} }
	for _, h := range set.Hosts {
		if n, ok := s.Nodes[h.Node]; ok {
			add(n)
		}
	}
	for _, p := range set.Policies {
		if p.Hosts == nil || !p.Hosts.Nodes {
			continue
		}
		for _, n := range s.Nodes {
			if p.Hosts.Hosts == nil || p.Hosts.Hosts.Matches(&policy.Labels{Own: n.Labels}) {
				add(n)
			}
		}
	}
	return sorted(found)
}

// outsideOfHosts are the outside addresses that policies on hosts speak of, and
// one of each family of nodes that stands for all others.
func outsideOfHosts(s *cluster.Snapshot, set *policy.Set) []place {
	only := &policy.Set{Tiers: set.Tiers, Networks: set.Networks, Policies: map[policy.Ref]*policy.Policy{}}
	for _, p := range set.Policies {
		if p.Hosts != nil {
			only.Add(p)
		}
	}
	chooser := newChooser(s)
	for _, n := range s.Nodes {
		for _, a := range n.Addrs {
			chooser.families[a.Is4()] = true
		}
	}
	blocks := mentionedBlocks(s, only, traffic.Ingress)
	blocks = append(blocks, mentionedBlocks(s, only, traffic.Egress)...)
	for _, c := range everywhere {
		blocks = append(blocks, &block{CIDR: c})
	}
	places := chooser.places(s, blocks)
	places = slices.DeleteFunc(places, func(p place) bool { return p.node != "" })
	return slices.CompactFunc(places, func(a, b place) bool { return slices.Equal(a.addrs, b.addrs) })
}

// hostPorts are the ports to ask about at a node, or from one: SSH, the kubelet,
// and what policies on hosts name in the direction.
func hostPorts(set *policy.Set, d traffic.Direction) []Port {
	ports := []Port{{traffic.TCP, sshPort}, {traffic.TCP, kubeletPort}}
	if d == traffic.Egress {
		ports = []Port{{traffic.TCP, httpPort}, {traffic.UDP, dnsPort}}
	}
	for _, p := range set.Policies {
		if p.Hosts == nil || p.In(d) == nil {
			continue
		}
		for _, rule := range p.In(d).Rules {
			for _, port := range rule.Ports {
				if number := typicalPort(port); number != 0 && port.Protocol != traffic.AnyProtocol {
					ports = append(ports, Port{port.Protocol, number})
				}
			}
		}
	}
	slices.SortFunc(ports, comparePorts)
	return slices.Compact(ports)
}

// onlyNew leaves out connections that a list has already.
func onlyNew(list, more []verdict.Connection) []verdict.Connection {
	type pair struct {
		from, to netip.Addr
		protocol traffic.Protocol
		port     uint16
	}
	key := func(c verdict.Connection) pair { return pair{c.From.Addr, c.To.Addr, c.Protocol, c.Port} }
	have := map[pair]bool{}
	for _, c := range list {
		have[key(c)] = true
	}
	return slices.DeleteFunc(more, func(c verdict.Connection) bool { return have[key(c)] })
}
