package gen

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// HostDevice is the device that leads out of each node, for hosts that name one.
const HostDevice = "eth0"

// hosts adds hosts to some nodes, some of them two.
func (g *generator) hosts() {
	for n := range g.Nodes {
		for range g.IntN(3) {
			h := g.host(n)
			g.world.SetHost(h)
		}
		if node := *g.world.Snapshot.Nodes[fmt.Sprintf("node-%d", n)]; g.in(3) {
			node.PodCIDRs = []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", n))}
			g.world.SetNode(&node)
		}
	}
}

func (g *generator) host(node int) *policy.Host {
	name := fmt.Sprintf("node-%d", node)
	h := &policy.Host{
		Ref:    policy.Ref{Dialect: policy.Calico, Kind: "HostEndpoint", Name: fmt.Sprintf("%s-%d", name, g.IntN(2))},
		Node:   name,
		Device: one(g, policy.AllDevices, policy.AllDevices, HostDevice, ""),
		Labels: g.labels("app", "role"),
		Open:   g.in(3),
		Ports:  []cluster.Port{{Name: one(g, portNames...), Protocol: traffic.TCP, Number: one(g, portNumbers...)}},
	}
	if h.Device == "" || g.in(2) {
		h.Addrs = g.world.Snapshot.Nodes[name].Addrs
	}
	return h
}

// onHosts makes a policy one that protects hosts: Calico's do so beside pods.
func (g *generator) onHosts(p *policy.Policy) *policy.Policy {
	p.Ref.Namespace, p.Subject.Namespace, p.Subject.Namespaces = "", "", nil
	p.Hosts = &policy.HostSubject{Hosts: g.selector("app", "role")}
	if g.in(4) {
		p.Dialect, p.Tier, p.Subject = policy.Cilium, policy.NetworkPolicyTier.Name, policy.NoPods()
		p.Hosts.Nodes, p.Hosts.Hosts = true, g.selector("zone")
		return p
	}
	p.Dialect = policy.Calico
	p.Hosts.Stage = one(g, policy.Tracked, policy.Tracked, policy.Tracked, policy.PreTranslation, policy.Untracked)
	p.Hosts.Forward = p.Hosts.Stage != policy.Tracked || g.in(2)
	if p.Hosts.Stage != policy.Tracked {
		p.Subject = policy.NoPods()
	}
	if p.Hosts.Stage == policy.PreTranslation {
		p.Egress = nil
	}
	return p
}

// changedHost is a host that comes, goes, or is another.
func (g *generator) changedHost() []Change {
	if !g.Hosts {
		return nil
	}
	h := g.host(g.IntN(g.Nodes))
	if g.in(3) {
		return []Change{func(t Target) { t.DeleteHost(h.Ref) }}
	}
	return []Change{func(t Target) { t.SetHost(h) }}
}

// hostPorts are those that host endpoints keep open, and some that they do not.
var hostPorts = []uint16{22, 179, 6443, 10250}

// HostConnections are n connections, half of them with a node at one end; some
// were translated on their way.
func HostConnections(r *rand.Rand, w *World, n int) []verdict.Connection {
	found := Connections(r, w.Endpoints(), n)
	var nodes []verdict.Endpoint
	for _, name := range slices.Sorted(maps.Keys(w.Snapshot.Nodes)) {
		for _, addr := range w.Snapshot.Nodes[name].Addrs {
			nodes = append(nodes, verdict.Endpoint{Addr: addr, Node: name})
		}
	}
	for i, c := range found {
		at := nodes[r.IntN(len(nodes))]
		fits := at.Addr.Is4() == c.To.Addr.Is4()
		switch r.IntN(4) {
		case 0:
			if fits && at.Addr != c.From.Addr {
				found[i].To = at
			}
		case 1:
			if fits && at.Addr != c.To.Addr {
				found[i].From = at
			}
		}
		if c.Protocol.HasPorts() && r.IntN(4) == 0 {
			found[i].Port = hostPorts[r.IntN(len(hostPorts))]
		}
		if c.Protocol.HasPorts() && fits && r.IntN(6) == 0 {
			found[i].Asked = netip.AddrPortFrom(at.Addr, portNumbers[r.IntN(len(portNumbers))])
		}
	}
	return found
}
