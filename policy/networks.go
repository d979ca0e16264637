package policy

import "net/netip"

// Networks is a named set of address blocks that policies of its dialect refer
// to: Calico's NetworkSet and GlobalNetworkSet, and the addresses that a
// HostEndpoint expects; Cilium's CIDRGroup.
type Networks struct {
	Ref
	Labels   map[string]string
	Prefixes []netip.Prefix // masked, none inside another, sorted
	Source   Source
}

// Contains tells whether an address lies in the set.
func (n *Networks) Contains(addr netip.Addr) bool {
	for _, p := range n.Prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
