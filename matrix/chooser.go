package matrix

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// wellKnown are the addresses that stand for a block which contains them: of the
// networks for documentation (RFC 5737, RFC 3849, RFC 9637), and the link-local
// address of cloud instances' metadata.
var wellKnown = parseAddrs("203.0.113.10", "198.51.100.10", "192.0.2.10", "169.254.169.254", "2001:db8::10", "3fff::10")

// neverOutside are networks that no outside host is in: this host, loopback,
// multicast and reserved addresses, link-local IPv6 (RFC 6890, RFC 4291).
var neverOutside = parsePrefixes("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8")

func parseAddrs(texts ...string) []netip.Addr {
	addrs := make([]netip.Addr, len(texts))
	for i, text := range texts {
		addrs[i] = netip.MustParseAddr(text)
	}
	return addrs
}

func parsePrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefixes[i] = netip.MustParsePrefix(text)
	}
	return prefixes
}

// chooser finds addresses that stand for the outside part of a block.
type chooser struct {
	taken    map[netip.Addr]bool // pods, nodes and services
	networks []netip.Prefix      // that no outside host is in
	nodes    []netip.Prefix      // the likely networks of nodes
	families map[bool]bool       // by Is4: some pod is on the pod network in it
}

func newChooser(s *cluster.Snapshot) *chooser {
	c := &chooser{taken: map[netip.Addr]bool{}, networks: slices.Clone(neverOutside), families: map[bool]bool{}}
	for _, pod := range s.Pods {
		for _, a := range pod.Addrs {
			c.taken[a] = true
			c.families[a.Is4()] = c.families[a.Is4()] || !pod.HostNetwork
		}
	}
	for _, node := range s.Nodes {
		for _, a := range node.Addrs {
			c.taken[a] = true
			c.nodes = append(c.nodes, likelyNetwork(a))
		}
		c.networks = append(c.networks, node.PodCIDRs...)
	}
	for _, service := range s.Services {
		for _, a := range service.ClusterIPs {
			c.taken[a] = true
		}
	}
	return c
}

// places are the nodes and outside addresses of blocks and their exceptions:
// nodes first, by name, then addresses in their order.
func (c *chooser) places(s *cluster.Snapshot, blocks []*block) []place {
	nodes, addrs := map[string]place{}, map[netip.Addr]place{}
	add := func(prefix netip.Prefix, except []netip.Prefix) {
		for _, node := range nodesIn(s, prefix) {
			nodes[node.node] = node
		}
		if a, ok := c.choose(prefix, except); ok {
			addrs[a] = place{addrs: []netip.Addr{a}}
		}
	}
	for _, b := range blocks {
		if c.families[b.Prefix.Addr().Is4()] {
			add(b.Prefix, b.Except)
			for _, e := range b.Except {
				add(e, nil)
			}
		}
	}
	return append(sorted(nodes), sorted(addrs)...)
}

func sorted[K comparable](places map[K]place) []place {
	list := make([]place, 0, len(places))
	for _, p := range places {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b place) int {
		return cmp.Or(strings.Compare(a.node, b.node), a.addrs[0].Compare(b.addrs[0]))
	})
	return list
}

// likelyNetwork is the network that a node's address is probably in; nothing
// says so, but an outside host is better looked for elsewhere.
func likelyNetwork(node netip.Addr) netip.Prefix {
	bits := 24
	if node.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(node, bits).Masked()
}

// choose finds an address of a prefix that is outside the cluster and not cut
// out; there may be none.
func (c *chooser) choose(prefix netip.Prefix, except []netip.Prefix) (netip.Addr, bool) {
	strict := slices.Concat(c.networks, except, c.nodes)
	if a, ok := c.search(prefix, strict); ok {
		return a, true
	}
	return c.search(prefix, strict[:len(strict)-len(c.nodes)])
}

func (c *chooser) search(prefix netip.Prefix, shut []netip.Prefix) (netip.Addr, bool) {
	free := func(a netip.Addr) bool { return prefix.Contains(a) && !c.obstacle(a, shut).IsValid() }
	if i := slices.IndexFunc(wellKnown, free); i >= 0 {
		return wellKnown[i], true
	}
	var second netip.Addr
	for a := prefix.Addr(); prefix.Contains(a); {
		switch obstacle := c.obstacle(a, shut); {
		case obstacle.IsValid():
			a = last(obstacle).Next()
		case looksLikeNetwork(a):
			second = cmp.Or(second, a)
			a = a.Next()
		default:
			return a, true
		}
	}
	return second, second.IsValid()
}

// obstacle is the largest prefix around an address that nothing may be chosen
// from; invalid: the address is free.
func (c *chooser) obstacle(a netip.Addr, shut []netip.Prefix) netip.Prefix {
	found := netip.Prefix{}
	if c.taken[a] {
		found = netip.PrefixFrom(a, a.BitLen())
	}
	for _, p := range shut {
		if p.Contains(a) && (!found.IsValid() || p.Bits() < found.Bits()) {
			found = p
		}
	}
	return found
}

// looksLikeNetwork: it ends in zero, and most such addresses are no host's.
func looksLikeNetwork(a netip.Addr) bool {
	bytes := a.AsSlice()
	return bytes[len(bytes)-1] == 0
}

// last is a prefix's last address.
func last(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}
