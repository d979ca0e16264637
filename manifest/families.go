package manifest

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Families are the address families that pods get.
type Families uint8

// The choices.
const (
	// AutoFamilies is what the input's own pod addresses are, or else its pod
	// ranges. Where it has neither, it is IPv4, and IPv6 only if a node or a
	// policy has IPv6 addresses: whoever writes 0.0.0.0/0 for "everybody" and has
	// a cluster without IPv6 is right, and would be told of addresses that nobody
	// has.
	AutoFamilies Families = iota
	IPv4
	IPv6
	DualStack
)

// chooseFamilies tells for which families addresses are made up.
func (b *builder) chooseFamilies() [2]bool {
	switch b.opts.Families {
	case IPv4:
		return [2]bool{true, false}
	case IPv6:
		return [2]bool{false, true}
	case DualStack:
		return [2]bool{true, true}
	}
	var pods, ranges [2]bool
	for _, s := range b.seats {
		for _, addr := range s.pod.Addrs {
			pods[family(addr)] = true
		}
	}
	for _, node := range b.nodes {
		for _, r := range node.PodCIDRs {
			ranges[family(r.Addr())] = true
		}
	}
	none := [2]bool{}
	if pods != none {
		return pods
	}
	if ranges != none {
		return ranges
	}
	return [2]bool{true, b.speaksIPv6()}
}

// speaksIPv6 tells whether a node, a policy or a set of networks has IPv6
// addresses.
func (b *builder) speaksIPv6() bool {
	for _, node := range b.nodes {
		for _, addr := range node.Addrs {
			if addr.Is6() {
				return true
			}
		}
	}
	for _, n := range b.bundle.Policies.Networks {
		if slices.ContainsFunc(n.Prefixes, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
			return true
		}
	}
	for _, p := range b.bundle.Policies.Policies {
		if namesIPv6(p.Ingress) || namesIPv6(p.Egress) {
			return true
		}
	}
	return false
}

func namesIPv6(rules *policy.Rules) bool {
	if rules == nil {
		return false
	}
	return slices.ContainsFunc(rules.Rules, func(r policy.Rule) bool { return anyIPv6(r.Peers) || anyIPv6(r.Self) })
}

func anyIPv6(peers []policy.Peer) bool {
	return slices.ContainsFunc(peers, func(p policy.Peer) bool {
		return p.CIDR != nil && p.CIDR.Prefix.Addr().Is6() || anyIPv6(p.And) || anyIPv6(p.Not)
	})
}
