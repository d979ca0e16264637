package plan

import (
	"net/netip"
	"slices"
	"sort"
)

// Holds tells whether an address is held: it is one that the node gives to its
// pods, and no pod or node of the cluster is known to have it. What is sent from
// or to it is not let through, but for what the node itself sends and receives.
func (p *Plan) Holds(addr netip.Addr) bool {
	if _, known := p.Known[addr]; known {
		return false
	}
	for r := range p.Held {
		if r.Contains(addr) {
			return true
		}
	}
	return false
}

// holds is Plan.Holds of a packet's ends.
func (p *Plan) holds(packet Packet) bool {
	return p.Holds(packet.From) || !packet.ToNode && p.Holds(packet.To)
}

// sortedRanges are the ranges of one family in order, for binary search.
type sortedRanges []Range

// sortRanges parts ranges by their family.
func sortRanges[V any](ranges map[Range]V) (v4, v6 sortedRanges) {
	for r := range ranges {
		if r.First.BitLen() == 32 {
			v4 = append(v4, r)
		} else {
			v6 = append(v6, r)
		}
	}
	slices.SortFunc(v4, Range.Compare)
	slices.SortFunc(v6, Range.Compare)
	return v4, v6
}

// find is the range that contains an address of the family.
func (s sortedRanges) find(addr netip.Addr) (Range, bool) {
	i := sort.Search(len(s), func(i int) bool { return !s[i].Last.Less(addr) })
	if i == len(s) || !s[i].Contains(addr) {
		return Range{}, false
	}
	return s[i], true
}

// heldIndex is the held ranges of a plan, sorted.
type heldIndex struct{ v4, v6 sortedRanges }

// holds is Plan.holds.
func (x *Index) holds(packet Packet) bool {
	return x.holdsAddr(packet.From) || !packet.ToNode && x.holdsAddr(packet.To)
}

func (x *Index) holdsAddr(addr netip.Addr) bool {
	if len(x.plan.Held) == 0 {
		return false
	}
	if _, known := x.plan.Known[addr]; known {
		return false
	}
	if x.held == nil {
		v4, v6 := sortRanges(x.plan.Held)
		x.held = &heldIndex{v4, v6}
	}
	ranges := x.held.v4
	if addr.BitLen() == 128 {
		ranges = x.held.v6
	}
	_, held := ranges.find(addr)
	return held
}

// scopeOfHeld is where addresses come to be held, or to be nobody's.
func (d Diff) scopeOfHeld(s *Scope) {
	for addr, e := range d.Known {
		if !e.Has {
			note(&s.Unknown, addr)
		}
	}
	for r, e := range d.Held {
		switch {
		case !e.Has:
		case r.First == r.Last:
			note(&s.Unknown, r.First)
		default:
			s.All = true
		}
	}
}
