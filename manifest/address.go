package manifest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// The ranges out of which addresses are made up, the usual ones of kubeadm and
// their likes in IPv6 (RFC 4193).
var (
	nodeRanges    = [2]netip.Prefix{netip.MustParsePrefix("172.18.0.0/16"), netip.MustParsePrefix("fd00:172:18::/112")}
	serviceRanges = [2]netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
)

// family indexes pairs of IPv4 and IPv6 things.
func family(addr netip.Addr) int {
	if addr.Is4() {
		return 0
	}
	return 1
}

// assignAddresses completes the addresses of nodes and pods: those that are kept
// first, then new ones.
func (b *builder) assignAddresses() {
	b.keepAddresses()
	b.families = b.chooseFamilies()
	for _, node := range b.nodes {
		b.addressNode(node)
	}
	seats := slices.Clone(b.seats)
	slices.SortFunc(seats, compareSeats)
	for _, s := range seats {
		b.addressPod(s)
	}
}

func (b *builder) claimNodes() {
	for _, node := range b.nodes {
		owner := b.nodeOwner(node)
		o := b.nodeFrom[node.Name] // nil only if nothing is stated
		for _, addr := range node.Addrs {
			path := "status.addresses"
			if o.Kind == "Pod" {
				path = "status.hostIP"
			}
			b.claimAddr(o, path, addr, owner)
		}
		for _, r := range node.PodCIDRs {
			if other := b.ips.ranges[family(r.Addr())].claim(r, owner); other != "" {
				b.failAt(o, "spec.podCIDRs", "%s overlaps a range of %s: give each node its own", r, other)
			}
		}
	}
}

// nodeOwner and owner are what the address book calls a node, a pod and a
// service.
func (b *builder) nodeOwner(node *cluster.Node) string {
	if o := b.nodeFrom[node.Name]; o != nil {
		return "Node " + node.Name + o.at()
	}
	return "Node " + node.Name
}

func (s *seat) owner() string { return "Pod " + s.pod.Name.String() + s.from.at() }

func (o *object) owner() string { return o.String() + o.at() }

func (o *object) at() string { return fmt.Sprintf(" (%s:%d)", o.Source.File, o.Source.Line) }

func (b *builder) claimPods() {
	for _, s := range b.seats {
		for _, addr := range s.pod.Addrs {
			b.claimAddr(s.from, "status.podIP", addr, s.owner())
		}
	}
}

// claimAddr notes a stated address, and that no range is made up around it.
func (b *builder) claimAddr(o *object, path string, addr netip.Addr, owner string) {
	if other, ok := b.ips.claim(addr, owner); !ok {
		b.failAt(o, path, "address %s is that of %s as well: remove it from one of the two", addr, other)
	}
	b.ips.ranges[family(addr)].avoid(addr)
}

// Host numbers of nodes: low ones are left to routers, and node-1 is next to
// them.
const (
	lowestNodeHost = 2
	nodeHostOffset = 10
)

// lowestPodHost leaves a range's first address to the node's gateway.
const lowestPodHost = 2

func (b *builder) addressNode(node *cluster.Node) {
	owner := b.nodeOwner(node)
	hasAddr, hasRange := [2]bool{}, [2]bool{}
	for _, addr := range node.Addrs {
		hasAddr[family(addr)] = true
	}
	for _, r := range node.PodCIDRs {
		hasRange[family(r.Addr())] = true
	}
	number := numberOf(node.Name)
	for f, wanted := range b.families {
		if !wanted {
			continue
		}
		if !hasAddr[f] {
			if addr, ok := b.ips.take(nodeRanges[f], lowestNodeHost, nodeHostOffset+number, owner); ok {
				node.Addrs = append(node.Addrs, addr)
			}
		}
		if !hasRange[f] {
			b.addRange(node, f, number)
		}
	}
}

// numberOf is the number at the end of a name, else one from its hash.
func numberOf(name string) uint64 {
	digits := name[len(strings.TrimRight(name, "0123456789")):]
	if n, err := strconv.ParseUint(digits, 10, 16); err == nil {
		return n
	}
	return hash(name) % 256
}

func (b *builder) addRange(node *cluster.Node, f int, number uint64) bool {
	r, ok := b.ips.ranges[f].take(podRanges[f], number, b.nodeOwner(node))
	if ok {
		node.PodCIDRs = append(node.PodCIDRs, r)
	}
	return ok
}

// addressPod completes a pod's addresses. A pod with some of its own is
// complete.
func (b *builder) addressPod(s *seat) {
	node := b.bundle.Snapshot.Nodes[s.pod.Node]
	if s.pod.HostNetwork {
		s.pod.Addrs = node.Addrs
		return
	}
	if len(s.pod.Addrs) > 0 {
		return
	}
	start := hash(s.pod.Name.String())
	for f, wanted := range b.families {
		if wanted && b.addressFrom(s, node, f, start) {
			// The next family's address ends alike, which is easier to read.
			start = uint64(s.pod.Addrs[len(s.pod.Addrs)-1].As16()[15])
		}
	}
}

// addressFrom takes an address from the node's ranges; a node whose ranges are
// full gets one more.
func (b *builder) addressFrom(s *seat, node *cluster.Node, f int, start uint64) bool {
	owner := s.owner()
	tried := 0
	for {
		for ; tried < len(node.PodCIDRs); tried++ {
			r := node.PodCIDRs[tried]
			if family(r.Addr()) != f {
				continue
			}
			if addr, ok := b.ips.take(r, lowestPodHost, start, owner); ok {
				s.pod.Addrs = append(s.pod.Addrs, addr)
				return true
			}
		}
		if !b.addRange(node, f, numberOf(node.Name)) {
			b.failAt(s.from, "", "no address is left for pod %s on node %s", s.pod.Name, node.Name)
			return false
		}
	}
}
