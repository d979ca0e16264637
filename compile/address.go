package compile

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// addresses are all that a pod or a node claims.
type addresses struct {
	byAddr map[netip.Addr]*address
	// near finds the addresses inside a block: they are kept in small blocks of
	// the sizes below.
	near map[netip.Prefix][]netip.Addr
}

const (
	near4 = 24
	near6 = 120
)

// address is one address with its claimants.
type address struct {
	owners          []*pod // one, unless something is wrong or late
	nodes           int    // that have it
	group           *group // nil: that of the block around it
	egress, ingress *class // of the owners that run on this node
}

func newAddresses() *addresses {
	return &addresses{byAddr: map[netip.Addr]*address{}, near: map[netip.Prefix][]netip.Addr{}}
}

func nearBlock(a netip.Addr) netip.Prefix {
	bits := near4
	if a.BitLen() == 128 {
		bits = near6
	}
	p, _ := a.Prefix(bits)
	return p
}

func (x *addresses) get(addr netip.Addr) *address {
	a, ok := x.byAddr[addr]
	if !ok {
		a = &address{}
		x.byAddr[addr] = a
		b := nearBlock(addr)
		x.near[b] = append(x.near[b], addr)
	}
	return a
}

// tidy forgets an address that nobody claims.
func (x *addresses) tidy(addr netip.Addr) {
	a := x.byAddr[addr]
	if a == nil || len(a.owners) > 0 || a.nodes > 0 {
		return
	}
	delete(x.byAddr, addr)
	b := nearBlock(addr)
	i := slices.Index(x.near[b], addr)
	if x.near[b] = slices.Delete(x.near[b], i, i+1); len(x.near[b]) == 0 {
		delete(x.near, b)
	}
}

func (x *addresses) claim(addr netip.Addr, p *pod) {
	a := x.get(addr)
	a.owners = append(a.owners, p)
}

func (x *addresses) disclaim(addr netip.Addr, p *pod) {
	a := x.get(addr)
	a.owners = slices.DeleteFunc(a.owners, func(o *pod) bool { return o == p })
}

// inside visits the addresses in a block.
func (x *addresses) inside(p netip.Prefix, visit func(netip.Addr)) {
	some := func(addrs []netip.Addr) {
		for _, a := range addrs {
			if p.Contains(a) {
				visit(a)
			}
		}
	}
	if b := nearBlock(p.Addr()); contains(b, p) {
		some(x.near[b])
		return
	}
	for b, addrs := range x.near {
		if contains(p, b) {
			some(addrs)
		}
	}
}

func (c *Compiler) settleNodes() {
	for name, object := range c.pending.nodes {
		if old, ok := c.nodes[name]; ok {
			c.countNode(addrsOf(old.Addrs), -1)
		}
		if object == nil {
			delete(c.nodes, name)
			continue
		}
		c.nodes[name] = object
		c.countNode(addrsOf(object.Addrs), 1)
	}
}

func (c *Compiler) countNode(addrs []netip.Addr, n int) {
	for _, addr := range addrs {
		c.addresses.get(addr).nodes += n
		c.dirty.addrs[addr] = struct{}{}
	}
}

// settleAddrs finds the groups of addresses that may have another now.
func (c *Compiler) settleAddrs() {
	for addr := range c.dirty.addrs {
		if a := c.addresses.byAddr[addr]; a != nil {
			c.regroup(&a.group, c.groupOf(addr, a))
			c.addresses.tidy(addr)
		}
	}
}

// groupOf is an address's group, nil if it is that of the block around it. Where
// several claim the address, the group holds what is true of each.
func (c *Compiler) groupOf(addr netip.Addr, a *address) *group {
	around := c.nets.find(netip.PrefixFrom(addr, addr.BitLen()))
	sets := make([]*set, 0, 1)
	for _, p := range a.owners {
		if !slices.Contains(sets, p.set) {
			sets = append(sets, p.set)
		}
	}
	if a.nodes > 0 && len(sets) > 0 {
		sets = append(sets, &set{})
	}
	var variants [][]*matcher
	for _, s := range sets {
		variants = append(variants, slices.Concat(s.matchers, around.matchers))
	}
	if g := c.intern(variants); g != around.group {
		return g
	}
	return nil
}

// writeAddrs writes what hangs on the numbers of groups and classes.
func (c *Compiler) writeAddrs() {
	for node := range c.dirty.nets {
		for _, r := range node.pieces {
			c.out.ranges.set(r, node.group.id)
		}
	}
	for addr := range c.dirty.addrs {
		if a := c.addresses.byAddr[addr]; a != nil && a.group != nil {
			c.out.addrs.set(addr, a.group.id)
		} else {
			c.out.addrs.delete(addr)
		}
	}
	for addr := range c.dirty.localAddrs {
		a := c.addresses.byAddr[addr]
		if a == nil || a.egress == nil && a.ingress == nil {
			c.out.local.delete(addr)
			continue
		}
		c.out.local.set(addr, plan.Local{Egress: a.egress.number(), Ingress: a.ingress.number()})
	}
}

func (c *class) number() plan.ClassID {
	if c == nil {
		return 0
	}
	return c.id
}
