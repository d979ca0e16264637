package nft

import (
	"context"
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// TestRangesChangeByElements: a block that is cut out of another changes what
// lies around it, whose ends stay where they are.
func TestRangesChangeByElements(t *testing.T) {
	ctx := context.Background()
	c := newChooser(t)
	d := open(t, newSpace(t), Options{})
	now := plan.New("one")
	apply(t, d, now)
	var groups [32]plan.PeerID // of addresses; zero: none
	for range 300 {
		from := c.IntN(len(groups))
		group := plan.PeerID(c.IntN(4)) // one of few, so that neighbours are alike
		for i := from; i < min(from+1+c.IntN(6), len(groups)); i++ {
			groups[i] = group
		}
		next := plan.New("one")
		for i := 0; i < len(groups); {
			end := i + 1
			for end < len(groups) && groups[end] == groups[i] && c.IntN(8) > 0 {
				end++
			}
			if groups[i] != 0 {
				for _, first := range []string{"10.0.0.0", "fd00::", "255.255.255.224"} {
					next.Ranges[plan.Range{First: plus(first, i), Last: plus(first, end-1)}] = groups[i]
				}
			}
			i = end
		}
		diff := plan.Compare(now, next)
		if err := d.Update(ctx, diff, next); err != nil {
			t.Fatalf("%v:\n%s", err, diff.Text())
		}
		now = next
		wantLive(t, d, now)
	}
}

func plus(addr string, n int) netip.Addr {
	b := netip.MustParseAddr(addr).AsSlice()
	b[len(b)-1] += byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}
