package matrix

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// outside are the nodes and outside addresses that the policies mention: as
// sources in ingress rules, as targets in egress rules.
func outside(s *cluster.Snapshot, set *policy.Set) (sources, targets []place) {
	chooser := newChooser(s)
	ingress := mentionedBlocks(s, set, traffic.Ingress)
	egress := mentionedBlocks(s, set, traffic.Egress)
	sources = chooser.places(s, ingress)
	targets = chooser.places(s, egress)
	for i := range targets {
		targets[i].ports = portsTowards(targets[i], egress)
	}
	return sources, targets
}

// block is an ipBlock of one or more rules, with the ports of all of them.
type block struct {
	policy.CIDR
	ports map[policy.Port]bool
	open  bool // one of the rules leaves the port open
}

// everywhere are the blocks that a rule for everybody speaks of.
var everywhere = []policy.CIDR{
	{Prefix: netip.MustParsePrefix("0.0.0.0/0")},
	{Prefix: netip.MustParsePrefix("::/0")},
}

// mentionedBlocks are the blocks of a direction's rules, by their text.
func mentionedBlocks(s *cluster.Snapshot, set *policy.Set, d traffic.Direction) []*block {
	found := map[string]*block{}
	for _, p := range set.Sorted() {
		if rules := p.In(d); rules != nil {
			for _, rule := range rules.Rules {
				for _, c := range ruleBlocks(s, set, rule) {
					mention(found, c, rule)
				}
				for _, peer := range rule.Peers {
					mentionServices(found, s, peer, rule)
				}
			}
		}
	}
	blocks := make([]*block, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		blocks = append(blocks, found[key])
	}
	return blocks
}

func ruleBlocks(s *cluster.Snapshot, set *policy.Set, rule policy.Rule) []policy.CIDR {
	if rule.AnyPeer {
		return everywhere
	}
	var blocks []policy.CIDR
	for _, peer := range rule.Peers {
		blocks = append(blocks, peerBlocks(s, set, peer)...)
	}
	return blocks
}

// peerBlocks are the blocks that a peer speaks of: its own, the addresses of the
// nodes and sets of networks that it picks, and those that it leaves out.
func peerBlocks(s *cluster.Snapshot, set *policy.Set, peer policy.Peer) []policy.CIDR {
	var blocks []policy.CIDR
	switch {
	case peer.CIDR != nil:
		blocks = append(blocks, *peer.CIDR)
	case peer.Nodes != nil:
		blocks = nodeBlocks(s, *peer.Nodes)
	case peer.Networks != nil:
		blocks = networkBlocks(s, set, *peer.Networks)
	case peer.Names != nil:
		blocks = nameBlocks(s)
	case peer.Services != nil: // have ports of their own
	case peer.Pods == nil && len(peer.And) == 0:
		blocks = append(blocks, everywhere...)
	}
	for _, p := range slices.Concat(peer.And, peer.Not) {
		blocks = append(blocks, peerBlocks(s, set, p)...)
	}
	return blocks
}

// nameBlocks are the addresses of all names that are known: of those that a rule
// picks, and of the others, which it must not open.
func nameBlocks(s *cluster.Snapshot) []policy.CIDR {
	var blocks []policy.CIDR
	for _, addrs := range s.Names {
		for _, addr := range addrs {
			blocks = append(blocks, policy.CIDR{Prefix: netip.PrefixFrom(addr, addr.BitLen())})
		}
	}
	return blocks
}

func nodeBlocks(s *cluster.Snapshot, selector policy.NodeSelector) []policy.CIDR {
	var blocks []policy.CIDR
	for _, node := range s.Nodes {
		if selector.Matches(node, selector.Which == policy.OwnNode) {
			for _, addr := range node.Addrs {
				blocks = append(blocks, policy.CIDR{Prefix: netip.PrefixFrom(addr, addr.BitLen())})
			}
		}
	}
	return blocks
}

func networkBlocks(s *cluster.Snapshot, set *policy.Set, selector policy.NetworkSelector) []policy.CIDR {
	var blocks []policy.CIDR
	for _, n := range set.Networks {
		labels := &policy.Labels{Own: n.Labels}
		if n.Namespace != "" {
			labels.Namespace = policy.Origin{Name: n.Namespace, Labels: s.NamespaceLabels(n.Namespace)}
		}
		if selector.Matches(n, labels) {
			for _, p := range n.Prefixes {
				blocks = append(blocks, policy.CIDR{Prefix: p})
			}
		}
	}
	return blocks
}

func mention(found map[string]*block, c policy.CIDR, rule policy.Rule) {
	b := found[c.String()]
	if b == nil {
		b = &block{CIDR: c, ports: map[policy.Port]bool{}}
		found[c.String()] = b
	}
	b.open = b.open || rule.AnyPort
	for _, p := range rule.Ports {
		b.ports[p] = true
	}
}

// mentionServices mentions what the services lead to that a rule speaks of, with
// the ports that they have there.
func mentionServices(found map[string]*block, s *cluster.Snapshot, peer policy.Peer, rule policy.Rule) {
	if peer.Services == nil {
		return
	}
	for _, e := range s.Endpoints {
		if !peer.Services.Matches(e) {
			continue
		}
		for _, b := range e.Backends {
			rule.AnyPort, rule.Ports = false, nil
			for _, p := range b.Ports {
				rule.Ports = append(rule.Ports, policy.Port{Protocol: p.Protocol, From: p.Number, To: p.Number})
			}
			mention(found, policy.CIDR{Prefix: netip.PrefixFrom(b.Addr, b.Addr.BitLen())}, rule)
		}
	}
}

// The ports to ask about where a rule leaves the choice.
const (
	sshPort  = 22
	httpPort = 80
	dnsPort  = 53
)

// usualPorts stand for a range that one of them is in, best first.
var usualPorts = []uint16{httpPort, 443, dnsPort, sshPort, 8080}

// portsTowards are the ports to ask about at a node or outside address: those
// that the blocks which contain it name, cut out or not.
func portsTowards(to place, blocks []*block) []Port {
	var ports []Port
	open := to.node != ""
	for _, b := range blocks {
		if !slices.ContainsFunc(to.addrs, b.Prefix.Contains) {
			continue
		}
		open = open || b.open
		for p := range b.ports {
			if number := typicalPort(p); number != 0 && p.Protocol != traffic.AnyProtocol {
				ports = append(ports, Port{p.Protocol, number})
			}
		}
	}
	switch {
	case to.node != "":
		ports = append(ports, Port{traffic.TCP, sshPort})
	case open:
		ports = append(ports, Port{traffic.TCP, httpPort})
	}
	slices.SortFunc(ports, comparePorts)
	return slices.Compact(ports)
}

// typicalPort is a port that stands for a rule's; zero for a name, which means
// nothing outside pods, and for protocols without ports.
func typicalPort(p policy.Port) uint16 {
	switch {
	case p.Name != "" || !p.Protocol.HasPorts():
		return 0
	case p.From == 0 && p.To == 0 && p.Protocol == traffic.UDP:
		return dnsPort
	case p.From == 0 && p.To == 0:
		return httpPort
	}
	for _, usual := range usualPorts {
		if p.From <= usual && usual <= p.To {
			return usual
		}
	}
	return max(p.From, 1)
}

// nodesIn are the nodes that have an address in the prefix, with the addresses
// that are in it. All addresses mention no node.
func nodesIn(s *cluster.Snapshot, prefix netip.Prefix) []place {
	if prefix.Bits() == 0 {
		return nil
	}
	var nodes []place
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		addrs := onePerFamily(s.Nodes[name].Addrs)
		if slices.ContainsFunc(addrs, prefix.Contains) {
			nodes = append(nodes, place{addrs: addrs, node: name})
		}
	}
	return nodes
}
