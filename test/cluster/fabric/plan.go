// Package fabric builds the network of a test cluster out of network
// namespaces: a switch between the nodes, and each node's pod network.
//
// A Plan says who has which address and is plain data. A Fabric is the switch,
// in the namespace it was made in; a Node is one machine on it, whose pods are
// attached and detached at any time, by any goroutine. Nothing has a name
// outside the namespaces, so nothing needs to be cleaned up.
package fabric

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// A Family is an IP family.
type Family int

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// A PodNetwork is the way in which a node's pods are connected.
type PodNetwork string

const (
	// Routed gives every pod a veth pair and a host route, and no neighbours.
	Routed PodNetwork = "routed"
	// Bridged puts the pods of a node on one Linux bridge, whose traffic is
	// shown to the IP hooks (bridge-nf-call-iptables), as kubenet does.
	Bridged PodNetwork = "bridge"
)

// A Plan is the address plan of a cluster. Nodes and pod ranges count from 1.
type Plan struct {
	Families []Family // the first is the primary one; never empty
	Pods     PodNetwork
	// ReuseAddresses gives a new pod the lowest free address. Otherwise an
	// address rests as long as possible, as node-local allocators have it.
	ReuseAddresses bool
}

// MaxNodes is how many nodes a plan has addresses for.
const MaxNodes = 200

// PodsPerNode is how many pods a node's range has room for.
const PodsPerNode = 250

// ParseFamilies reads "ipv4", "ipv6", or both with a comma, the primary first.
func ParseFamilies(s string) ([]Family, error) {
	known := map[string]Family{"ipv4": IPv4, "ipv6": IPv6}
	var families []Family
	for word := range strings.SplitSeq(s, ",") {
		f, ok := known[strings.TrimSpace(word)]
		if !ok || len(families) == 1 && families[0] == f || len(families) > 1 {
			return nil, fmt.Errorf("parse IP families %q: want ipv4, ipv6, ipv4,ipv6 or ipv6,ipv4", s)
		}
		families = append(families, f)
	}
	return families, nil
}

// ParsePodNetwork reads the name of a pod network.
func ParsePodNetwork(s string) (PodNetwork, error) {
	switch p := PodNetwork(s); p {
	case Routed, Bridged:
		return p, nil
	}
	return "", fmt.Errorf("parse pod network %q: want %s or %s", s, Routed, Bridged)
}

// ranges are the networks of one family.
type ranges struct{ nodes, pods, services netip.Prefix }

var networks = map[Family]ranges{
	IPv4: {netip.MustParsePrefix("172.18.0.0/16"), netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("10.96.0.0/16")},
	IPv6: {netip.MustParsePrefix("fd00:172:18::/64"), netip.MustParsePrefix("fd00:10:244::/48"), netip.MustParsePrefix("fd00:10:96::/112")},
}

// Gateway is the switch's own address with the length of the nodes' network, of
// each family: there the API server listens.
func (p Plan) Gateway() []netip.Prefix {
	return p.each(func(r ranges) netip.Prefix { return host(r.nodes, 1) })
}

// Node is a node's address with the length of the nodes' network, of each family.
func (p Plan) Node(index int) []netip.Prefix {
	return p.each(func(r ranges) netip.Prefix { return host(r.nodes, 10+index) })
}

// NodeName is what a node is called.
func NodeName(index int) string { return fmt.Sprintf("node-%d", index) }

// PodRanges are the addresses of a node's pods, of each family.
func (p Plan) PodRanges(index int) []netip.Prefix {
	return p.each(func(r ranges) netip.Prefix {
		b := r.pods.Addr().AsSlice()
		at := r.pods.Bits() / 8
		if r.pods.Addr().Is6() {
			binary.BigEndian.PutUint16(b[at:], uint16(index))
			return netip.PrefixFrom(mustAddr(b), 64)
		}
		b[at] = byte(index)
		return netip.PrefixFrom(mustAddr(b), 24)
	})
}

// ClusterRanges hold every pod, of each family.
func (p Plan) ClusterRanges() []netip.Prefix {
	return p.each(func(r ranges) netip.Prefix { return r.pods })
}

// ServiceRanges hold every service, of each family.
func (p Plan) ServiceRanges() []netip.Prefix {
	return p.each(func(r ranges) netip.Prefix { return r.services })
}

// APIService is the address of the service kubernetes, of the primary family.
func (p Plan) APIService() netip.Addr { return host(p.ServiceRanges()[0], 1).Addr() }

// DNSService are the addresses of the cluster's name server, of each family.
func (p Plan) DNSService() []netip.Addr {
	var addrs []netip.Addr
	for _, r := range p.ServiceRanges() {
		addrs = append(addrs, host(r, 10).Addr())
	}
	return addrs
}

func (p Plan) each(of func(ranges) netip.Prefix) []netip.Prefix {
	all := make([]netip.Prefix, len(p.Families))
	for i, f := range p.Families {
		all[i] = of(networks[f])
	}
	return all
}

// host is the nth address of a range, with the range's length.
func host(r netip.Prefix, n int) netip.Prefix {
	b := r.Addr().AsSlice()
	last := binary.BigEndian.Uint16(b[len(b)-2:])
	binary.BigEndian.PutUint16(b[len(b)-2:], last+uint16(n))
	return netip.PrefixFrom(mustAddr(b), r.Bits())
}

func mustAddr(b []byte) netip.Addr {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		panic("address of neither 4 nor 16 bytes")
	}
	return a
}
