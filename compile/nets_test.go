package compile

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
)

func randomPrefix(r *rand.Rand) netip.Prefix {
	addr, bits := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.UintN(64))}), 24+r.IntN(9)
	switch r.IntN(4) {
	case 0:
		addr, bits = netip.AddrFrom16([16]byte{0xfd, 15: byte(r.UintN(64))}), 118+r.IntN(11)
	case 1:
		bits = r.IntN(33)
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// places are where random prefixes begin and end, and beside them.
func places() []netip.Addr {
	all := []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("9.255.255.255")}
	for n := range 80 {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), netip.AddrFrom16([16]byte{0xfd, 15: byte(n)}))
	}
	return all
}

// marks are what a test knows of a tree.
type marks map[netip.Prefix]map[*matcher]int

func (m marks) of(addr netip.Addr) (found []*matcher) {
	for p, set := range m {
		for one := range set {
			if p.Contains(addr) && !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
	}
	slices.SortFunc(found, bySerial)
	return found
}

func TestAnAddressHasTheMatchersOfAllBlocksAroundIt(t *testing.T) {
	matchers := []*matcher{{serial: 1}, {serial: 2}, {serial: 3}}
	for i := range 100 {
		r := gen.Source(*seed, i)
		n, want := newNets(), marks{}
		for range 30 {
			for range 1 + r.IntN(4) {
				p, m := randomPrefix(r), matchers[r.IntN(len(matchers))]
				if want[p][m] > 0 && r.IntN(2) == 0 {
					n.unmark(p, m)
					if want[p][m]--; want[p][m] == 0 {
						delete(want[p], m)
					}
					continue
				}
				n.mark(p, m)
				if want[p] == nil {
					want[p] = map[*matcher]int{}
				}
				want[p][m]++
			}
			changed, _ := n.settle()
			for _, p := range changed {
				n.each(p, (*net).inherit)
			}
			checkNets(t, n, want)
		}
	}
}

func checkNets(t *testing.T, n *nets, want marks) {
	t.Helper()
	var pieces []plan.Range
	for _, node := range n.nodes {
		for _, piece := range node.gaps() {
			pieces = append(pieces, piece)
			for _, addr := range []netip.Addr{piece.First, piece.Last} {
				if n.find(netip.PrefixFrom(addr, addr.BitLen())) != node {
					t.Fatalf("%s is a piece of %s, but %s belongs to another block", piece, node.prefix, addr)
				}
			}
		}
	}
	slices.SortFunc(pieces, plan.Range.Compare)
	for i := 1; i < len(pieces); i++ {
		if pieces[i-1].Contains(pieces[i].First) {
			t.Fatalf("%s and %s overlap", pieces[i-1], pieces[i])
		}
	}
	for _, addr := range places() {
		node := n.find(netip.PrefixFrom(addr, addr.BitLen()))
		if !slices.Equal(node.matchers, want.of(addr)) {
			t.Fatalf("%s has other matchers than the blocks around it", addr)
		}
		in := slices.ContainsFunc(pieces, func(r plan.Range) bool { return r.Contains(addr) })
		if in != (node != n.root) {
			t.Fatalf("%s is in the block %s, in a piece: %v", addr, node.prefix, in)
		}
	}
}
