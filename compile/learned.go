package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// settleLearned follows the addresses that names have.
func (c *Compiler) settleLearned() {
	for selector, addrs := range c.pending.learned {
		if len(addrs) == 0 {
			delete(c.learned, selector)
		} else {
			c.learned[selector] = addrs
		}
		if m, ok := c.named[selector]; ok {
			c.markLearned(m, selector)
		}
	}
}

// markLearned marks the addresses of a selector's names, before it takes away the
// marks that it had.
func (c *Compiler) markLearned(m *matcher, selector string) {
	old := m.marked
	m.marked = nil
	for _, addr := range c.learned[selector] {
		p := netip.PrefixFrom(addr, addr.BitLen())
		c.nets.mark(p, m)
		m.marked = append(m.marked, p)
	}
	c.unmarkNetworks(m, old)
}

// learns are the selectors of names that the class's policies have.
func (k *class) learns() []l7.Selector {
	if k.direction != traffic.Egress {
		return nil
	}
	byKey := map[string]l7.Selector{}
	for _, s := range k.sides {
		for _, r := range s.policies {
			for _, n := range r.NameSelectors() {
				byKey[n.String()] = l7.Selector{Key: n.String(), Names: n.Names}
			}
		}
	}
	var found []l7.Selector
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		found = append(found, byKey[key])
	}
	return found
}

func (c *Compiler) acquireNames(p policy.Peer, r *ruleset) *matcher {
	return c.acquire(p.String(), r, func(m *matcher) {
		m.names = p.Names
		c.named[m.text] = m
		c.markLearned(m, m.text)
	})
}

func (c *Compiler) forgetNames(m *matcher) {
	delete(c.named, m.text)
	c.unmarkNetworks(m, m.marked)
}
