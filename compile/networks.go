package compile

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// settleNetworks follows the named sets of networks. What a matcher of them asks
// is answered by its marks on prefixes.
func (c *Compiler) settleNetworks() {
	if len(c.pending.networks) == 0 {
		return
	}
	for ref, n := range c.pending.networks {
		if n == nil {
			delete(c.networks, ref)
		} else {
			c.networks[ref] = n
		}
	}
	c.remarkNetworks()
}

// remarkNetworks is for when sets or the labels of their namespaces changed.
func (c *Compiler) remarkNetworks() {
	for m := range c.networkMatchers {
		c.markNetworks(m)
	}
	for p := range c.locals {
		c.dirty.locals[p] = struct{}{} // rules may ask which sets it is in
	}
}

// markNetworks marks the prefixes of the sets that the matcher picks, before it
// takes away the marks that it had.
func (c *Compiler) markNetworks(m *matcher) {
	old := m.marked
	m.marked = nil
	for _, n := range c.networks {
		if !m.networks.Matches(n, c.networkLabels(n)) {
			continue
		}
		for _, p := range n.Prefixes {
			c.nets.mark(p, m)
			m.marked = append(m.marked, p)
		}
	}
	c.unmarkNetworks(m, old)
}

func (c *Compiler) unmarkNetworks(m *matcher, marked []netip.Prefix) {
	for _, p := range marked {
		c.nets.unmark(p, m)
	}
}

func (c *Compiler) acquireNetworks(p policy.Peer, r *ruleset) *matcher {
	return c.acquire(p.String(), r, func(m *matcher) {
		m.networks = p.Networks
		c.networkMatchers[m] = struct{}{}
		c.markNetworks(m)
	})
}

func (c *Compiler) forgetNetworks(m *matcher) {
	delete(c.networkMatchers, m)
	c.unmarkNetworks(m, m.marked)
}

// networkLabels are a set's labels as selectors see them.
func (c *Compiler) networkLabels(n *policy.Networks) *policy.Labels {
	l := &policy.Labels{Own: n.Labels}
	if n.Namespace != "" {
		l.Namespace = c.originOf(n.Namespace)
	}
	return l
}
