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
	near map[netip.Prefix][]*address
}

const (
	near4 = 24
	near6 = 120
)

// address is one address with its claimants.
type address struct {
	addr            netip.Addr
	owners          []*pod  // one, unless something is wrong or late
	nodes           []*host // that have it
	group           *group  // nil: that of the block around it
	egress, ingress *class  // of the owners that run on this node
	dirty           bool    // in Compiler.dirty
}

func newAddresses() *addresses {
	return &addresses{byAddr: map[netip.Addr]*address{}, near: map[netip.Prefix][]*address{}}
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
		a = &address{addr: addr}
		x.byAddr[addr] = a
		b := nearBlock(addr)
		x.near[b] = append(x.near[b], a)
	}
	return a
}

// tidy forgets an address that nobody claims.
func (x *addresses) tidy(a *address) {
	if len(a.owners)+len(a.nodes) > 0 {
		return
	}
	delete(x.byAddr, a.addr)
	b := nearBlock(a.addr)
	i := slices.Index(x.near[b], a)
	if x.near[b] = slices.Delete(x.near[b], i, i+1); len(x.near[b]) == 0 {
		delete(x.near, b)
	}
}

// claim gives a pod its addresses.
func (x *addresses) claim(p *pod) {
	addrs := addrsOf(p.object.Addrs)
	p.addrs = make([]*address, 0, len(addrs))
	for _, addr := range addrs {
		a := x.get(addr)
		a.owners = append(a.owners, p)
		p.addrs = append(p.addrs, a)
	}
}

func (x *addresses) disclaim(p *pod) {
	for _, a := range p.addrs {
		a.owners = slices.DeleteFunc(a.owners, func(o *pod) bool { return o == p })
	}
}

// inside visits the addresses in a block.
func (x *addresses) inside(p netip.Prefix, visit func(*address)) {
	some := func(addrs []*address) {
		for _, a := range addrs {
			if p.Contains(a.addr) {
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

// settleAddrs finds the groups of addresses that may have another now.
func (c *Compiler) settleAddrs() {
	known := map[stand]*group{}
	for _, a := range c.dirty.addrs {
		c.regroup(&a.group, c.groupOf(a, known))
		c.addresses.tidy(a)
	}
}

// stand is all that an undisputed address's group depends on.
type stand struct {
	set    *set
	around *net
}

// groupOf is an address's group, nil if it is that of the block around it. What
// is worked out for one address is known for all that stand alike.
func (c *Compiler) groupOf(a *address, known map[stand]*group) *group {
	around := c.nets.find(netip.PrefixFrom(a.addr, a.addr.BitLen()))
	if len(a.owners) != 1 || len(a.nodes) > 0 {
		return c.disputed(a, around)
	}
	at := stand{a.owners[0].set, around}
	g, ok := known[at]
	if !ok {
		g = c.intern([][]*matcher{slices.Concat(at.set.matchers, around.matchers)})
		known[at] = g
	}
	if g == around.group {
		return nil
	}
	return g
}

// disputed is the group of an address that several claim: it holds what is true
// of each.
func (c *Compiler) disputed(a *address, around *net) *group {
	var variants [][]*matcher
	for _, p := range a.owners {
		variants = append(variants, slices.Concat(p.set.matchers, around.matchers))
	}
	for _, n := range a.nodes {
		variants = append(variants, slices.Concat(n.matchers, around.matchers))
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
	for _, a := range c.dirty.addrs {
		if a.dirty = false; a.group == nil {
			c.out.addrs.delete(a.addr)
		} else {
			c.out.addrs.set(a.addr, a.group.id)
		}
		c.writeKnown(a)
		c.noteClaim(a)
	}
	for a := range c.dirty.localAddrs {
		if a.egress == nil && a.ingress == nil {
			c.out.local.delete(a.addr)
		} else {
			c.out.local.set(a.addr, plan.Local{Egress: a.egress.number(), Ingress: a.ingress.number()})
		}
	}
}

func (c *class) number() plan.ClassID {
	if c == nil {
		return 0
	}
	return c.id
}
