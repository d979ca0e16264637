// Package plan is the desired state of one node's packet filter, as plain
// values: which addresses belong to which peer group, which local pods belong
// to which policy class, and what each class says of each group.
//
// A Plan is a value without behaviour towards the kernel; package compile makes
// it, package dataplane/nft puts it in the kernel, and Trace in this package
// judges a packet by it exactly as the kernel does. The package is a leaf but
// for the vocabulary of package traffic, and does no I/O.
//
// Equal clusters and policies give equal plans, whatever was before: every
// number and name in a plan is derived from content.
package plan

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// PeerID stands for the set of peer matchers that an address satisfies, out of
// those in use on this node. Zero: it satisfies none.
type PeerID uint32

// String is eight hexadecimal digits.
func (id PeerID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// ClassID stands for a set of policies that select the same local pods in one
// direction. Zero: no policy, the pod is open in that direction.
type ClassID uint32

// String is eight hexadecimal digits.
func (id ClassID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// Plan is one node's tables.
type Plan struct {
	Node string
	// Peers says what each PeerID in use stands for: its matchers, sorted, for
	// people to read.
	Peers map[PeerID][]string
	// Wider says of a group which wider group it is part of: the one that
	// satisfies only the matchers which most of the cluster does, such as every
	// pod or 0.0.0.0/0. Where a group has no row of its own, the rows of its
	// wider group apply; without it, a rule for every pod would need a row for
	// each group in each class. A wider group has no wider one itself, and an
	// address may belong to it directly. In the kernel it is one more data map,
	// asked between two lookups in the class's sets:
	//
	//	meta priority . meta l4proto . th dport @class_allow return
	//	meta priority set meta priority map @wider
	//	meta priority . meta l4proto . th dport @class_allow return
	//
	// A group without a wider one is not in the map; then the second lookup
	// repeats the first and finds as little.
	Wider map[PeerID]PeerID
	// Addrs are the addresses whose group differs from what Ranges gives them;
	// no value is zero. An address inside a range that no matcher picks all the
	// same has the group of the empty set, which is a PeerID like any other.
	Addrs map[netip.Addr]PeerID
	// Ranges are the groups of all other addresses.
	Ranges map[Range]PeerID
	// Held are addresses that the node gives to its pods. Those of them that are
	// not Known are not let through: a pod has its address before anybody knows
	// its policies. They do not overlap.
	Held map[Range]struct{}
	// Known are the addresses in Held that some pod or node has.
	Known map[netip.Addr]struct{}
	// Local are the node's own pods that some policy selects.
	Local   map[netip.Addr]Local
	Classes map[ClassID]*Class
	// Filters are what connections that are inspected may carry.
	Filters map[l7.FilterID]l7.Filter
	// Hosts are the node's own doors; empty: no policy on hosts concerns it, and
	// Own and Keep are empty too.
	Hosts map[Door]Host
	// Own are the addresses of the node's own pods, those included that nobody
	// knows yet.
	Own map[netip.Prefix]struct{}
	// Keep are TCP ports that the node reaches whatever policies on hosts say,
	// before or after translation.
	Keep map[netip.AddrPort]struct{}
}

// New is a plan that filters nothing.
func New(node string) *Plan {
	return &Plan{
		Node:    node,
		Peers:   map[PeerID][]string{},
		Wider:   map[PeerID]PeerID{},
		Addrs:   map[netip.Addr]PeerID{},
		Ranges:  map[Range]PeerID{},
		Held:    map[Range]struct{}{},
		Known:   map[netip.Addr]struct{}{},
		Local:   map[netip.Addr]Local{},
		Classes: map[ClassID]*Class{},
		Filters: map[l7.FilterID]l7.Filter{},
		Hosts:   map[Door]Host{},
		Own:     map[netip.Prefix]struct{}{},
		Keep:    map[netip.AddrPort]struct{}{},
	}
}

// Range is a run of addresses of one family, both ends included. The ranges of
// a plan do not overlap.
type Range struct {
	First, Last netip.Addr
}

// String is "first-last".
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

// Contains tells whether the address is in the range.
func (r Range) Contains(addr netip.Addr) bool {
	return r.First.BitLen() == addr.BitLen() && r.First.Compare(addr) <= 0 && addr.Compare(r.Last) <= 0
}

// Local is the classes of one of the node's pods.
type Local struct {
	Egress, Ingress ClassID
}

// Class is what a set of policies says of connections in one direction.
type Class struct {
	Direction traffic.Direction
	Policies  []string // sorted, for people to read
	// Learns are the selectors of names that the class's pods learn addresses
	// for from the answers to their queries, by key.
	Learns []l7.Selector
	// Rows are the exceptions from Default. For a packet the most telling row
	// wins, in the order of Class.Lookup. Rows of one peer and protocol do not
	// overlap.
	Rows map[Row]traffic.Verdict
	// Filters are what connections may carry that a row has inspected. A row
	// without one lets everything pass: its connections are only learned from.
	Filters map[Row]l7.FilterID
	Default traffic.Verdict
	// Audit: what the class denies is noted and let through.
	Audit bool
	// Grants: the class is Host.GrantIn or GrantOut of some door.
	Grants bool
}

// Row is what a row of a class matches.
type Row struct {
	// Peer is the other end's group or its wider group; with AnyPeer the row
	// matches every end for which no row of these decided, and Peer is zero.
	Peer    PeerID
	AnyPeer bool
	// Protocol is the packet's protocol; AnyProtocol matches all, and then
	// From and To are zero.
	Protocol traffic.Protocol
	// From and To are the first and last destination port, both included, of
	// ICMP and ICMPv6 types with their codes (traffic.ICMPPort); a row for the
	// whole protocol has 0 and 65535.
	From, To uint16
}

// String is "peer 0000002a TCP 80-90", "any TCP 443" or "peer 0000002a".
func (r Row) String() string {
	s := "any"
	if !r.AnyPeer {
		s = "peer " + r.Peer.String()
	}
	if r.Protocol == traffic.AnyProtocol {
		return s
	}
	s += " " + r.Protocol.String()
	switch {
	case r.From == 0 && r.To == 65535:
		return s
	case r.From == r.To:
		return s + " " + strconv.Itoa(int(r.From))
	}
	return fmt.Sprintf("%s %d-%d", s, r.From, r.To)
}
