package compile

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// Hold says which addresses this node gives to its pods, in place of what was
// said before: those that no pod or node is known to have are not let through.
// Nothing is held as long as there is no policy, since then nothing can be
// denied, nor by a compiler that audits.
func (c *Compiler) Hold(prefixes []netip.Prefix) {
	c.held.said = outermost(prefixes)
}

// held is what is held.
type held struct {
	said, now []netip.Prefix // sorted; none contains another
}

// contains tells whether an address is held unless it is known.
func (h *held) contains(addr netip.Addr) bool {
	at, found := slices.BinarySearchFunc(h.now, addr, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return found || at > 0 && h.now[at-1].Contains(addr)
}

// outermost are prefixes as packets carry addresses, sorted, without those that
// lie in another: prefixes that overlap do so wholly.
func outermost(prefixes []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range prefixes {
		if p = p.Masked(); p.IsValid() && !p.Addr().Is4In6() {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	var outer []netip.Prefix
	for _, p := range all {
		if n := len(outer); n == 0 || !contains(outer[n-1], p) {
			outer = append(outer, p)
		}
	}
	return outer
}

// settleHeld writes the ranges that are held, and marks the known addresses in
// those that come or go.
func (c *Compiler) settleHeld() {
	want := c.held.said
	if c.audit || len(c.policies) == 0 {
		want = nil
	}
	before := c.held.now
	c.held.now = want
	for _, p := range missing(before, want) {
		c.out.held.delete(rangeOf(p))
		c.addresses.inside(p, c.dirty.address)
	}
	for _, p := range missing(want, before) {
		c.out.held.set(rangeOf(p), struct{}{})
		c.addresses.inside(p, c.dirty.address)
	}
}

// missing are the prefixes of a sorted list that are not in another.
func missing(list, other []netip.Prefix) []netip.Prefix {
	var rest []netip.Prefix
	for _, p := range list {
		if _, found := slices.BinarySearchFunc(other, p, netip.Prefix.Compare); !found {
			rest = append(rest, p)
		}
	}
	return rest
}

// rangeOf is all addresses of a prefix.
func rangeOf(p netip.Prefix) plan.Range { return plan.Range{First: p.Addr(), Last: lastOf(p)} }

// writeKnown writes whether an address that is held otherwise is somebody's.
func (c *Compiler) writeKnown(a *address) {
	if len(a.owners)+len(a.nodes) > 0 && c.held.contains(a.addr) {
		c.out.known.set(a.addr, struct{}{})
	} else {
		c.out.known.delete(a.addr)
	}
}
