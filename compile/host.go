package compile

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// host is a node with the matchers that it satisfies, and with it the pods on
// its network.
type host struct {
	object   *cluster.Node
	matchers []*matcher // by serial
}

func (c *Compiler) settleNodes() {
	for name, object := range c.pending.nodes {
		n, had := c.nodes[name]
		if had {
			c.leave(n)
		}
		if object == nil {
			delete(c.nodes, name)
			continue
		}
		if !had {
			n = &host{}
			c.nodes[name] = n
		}
		n.object, n.matchers = object, nil
		for m := range c.nodeMatchers {
			c.ask(n, m)
		}
		for _, addr := range addrsOf(object.Addrs) {
			a := c.addresses.get(addr)
			a.nodes = append(a.nodes, n)
			c.dirty.address(a)
		}
	}
}

// leave takes a node off its addresses.
func (c *Compiler) leave(n *host) {
	for _, addr := range addrsOf(n.object.Addrs) {
		a := c.addresses.get(addr)
		a.nodes = slices.DeleteFunc(a.nodes, func(o *host) bool { return o == n })
		c.dirty.address(a)
	}
}

// ask gives a node a matcher if it satisfies it, and tells whether it does.
func (c *Compiler) ask(n *host, m *matcher) bool {
	if !m.nodes.Matches(n.object, n.object.Name == c.node) {
		return false
	}
	at, _ := slices.BinarySearchFunc(n.matchers, m, bySerial)
	n.matchers = slices.Insert(slices.Clone(n.matchers), at, m)
	return true
}

func (c *Compiler) acquireNodes(p policy.Peer, r *ruleset) *matcher {
	return c.acquire(p.String(), r, func(m *matcher) {
		m.nodes = p.Nodes
		c.nodeMatchers[m] = struct{}{}
		for _, n := range c.nodes {
			if c.ask(n, m) {
				c.touchNode(n)
			}
		}
	})
}

func (c *Compiler) forgetNodes(m *matcher) {
	delete(c.nodeMatchers, m)
	for _, n := range c.nodes {
		if at, has := slices.BinarySearchFunc(n.matchers, m, bySerial); has {
			n.matchers = slices.Delete(slices.Clone(n.matchers), at, at+1)
			c.touchNode(n)
		}
	}
}

func (c *Compiler) touchNode(n *host) {
	for _, addr := range addrsOf(n.object.Addrs) {
		c.dirty.address(c.addresses.get(addr))
	}
}
