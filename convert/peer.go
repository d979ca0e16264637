package convert

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// peer is a peer of the model in one of the forms that dialects have; one of the
// first fields says which.
type peer struct {
	who      *who
	block    *policy.CIDR // whoever has the address
	world    bool         // with a block or without: only what is outside the cluster
	nodes    *policy.NodeSelector
	services *policy.ServiceSelector
	not      []netip.Prefix // besides a block's exceptions
	family   netip.Prefix   // all addresses of one family; zero: both
}

// peers are a rule's peers in such forms; ok is false if one has none.
func (c *converter) peers(r *policy.Rule, field string) (list []peer, ok bool) {
	ok = true
	for _, p := range r.Peers {
		read, valid := c.peer(p, field)
		list, ok = append(list, read...), ok && valid
	}
	return joinNodes(list), ok
}

// joinNodes: the own node and all others are all of them.
func joinNodes(list []peer) []peer {
	is := func(which policy.Which) func(peer) bool {
		return func(p peer) bool { return p.nodes != nil && *p.nodes == policy.NodeSelector{Which: which} }
	}
	if !slices.ContainsFunc(list, is(policy.OwnNode)) || !slices.ContainsFunc(list, is(policy.OtherNode)) {
		return list
	}
	list = slices.DeleteFunc(list, func(p peer) bool { return is(policy.OwnNode)(p) || is(policy.OtherNode)(p) })
	return append(list, peer{nodes: &policy.NodeSelector{}})
}

func (c *converter) peer(p policy.Peer, field string) ([]peer, bool) {
	read := peer{nodes: p.Nodes, services: p.Services}
	blocks := []*policy.CIDR{p.CIDR}
	switch {
	case p.Names != nil:
		return nil, c.lose(field, "domain names have no counterpart")
	case p.Pods != nil:
		w := whoOf(*p.Pods)
		if w.notSayable {
			return nil, c.lose(field, "%s: make a rule of each alternative", w.reason)
		}
		if w.nobody {
			return nil, true
		}
		read.who = &w
	case p.Networks != nil:
		blocks = c.copied(*p.Networks, field)
	}
	if !c.narrow(&read, p, field) {
		return nil, false
	}
	if p.CIDR == nil && p.Networks == nil && read.block == nil && !read.world && read.who == nil && read.nodes == nil && read.services == nil {
		blocks = everywhere() // but for what is left out
	}
	var all []peer
	for _, b := range blocks {
		q := read
		if b != nil {
			q.block = b
		}
		if q.say() {
			all = append(all, q)
		}
	}
	return all, true
}

// everywhere is all addresses.
func everywhere() []*policy.CIDR {
	return []*policy.CIDR{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, {Prefix: netip.MustParsePrefix("::/0")}}
}

// say tells whether the peer picks anybody.
func (p *peer) say() bool {
	return p.who != nil || p.block != nil || p.world || p.nodes != nil || p.services != nil || len(p.not) > 0
}

// copied are the blocks of sets of networks, as they are now.
func (c *converter) copied(s policy.NetworkSelector, field string) []*policy.CIDR {
	var prefixes []netip.Prefix
	for _, n := range c.set.Networks {
		labels := &policy.Labels{Own: n.Labels}
		if n.Namespace != "" {
			labels.Namespace = policy.Origin{Name: n.Namespace, Labels: c.snapshot.NamespaceLabels(n.Namespace)}
		}
		if s.Matches(n, labels) {
			prefixes = append(prefixes, n.Prefixes...)
			c.note("%s %s: %s: the blocks of %s %s are copied, and do not follow it", c.from.Kind, c.from.Ref, field, n.Kind, n.Ref)
		}
	}
	var blocks []*policy.CIDR
	for _, p := range syntax.Disjoint(prefixes) {
		blocks = append(blocks, &policy.CIDR{Prefix: p})
	}
	return blocks
}

// narrow reads what a peer must be and must not be besides.
func (c *converter) narrow(to *peer, p policy.Peer, field string) bool {
	for _, q := range p.And {
		switch {
		case q.CIDR == nil || len(q.And)+len(q.Not) > 0:
			return c.lose(field, "a peer of two kinds at once has no counterpart")
		case q.CIDR.Prefix.Bits() == 0 && p.CIDR == nil && (p.Pods != nil || p.Networks != nil):
			to.family = q.CIDR.Prefix
		case p.Pods != nil || p.Nodes != nil || p.Services != nil || to.block != nil || p.CIDR != nil:
			return c.lose(field, "a peer of two kinds at once has no counterpart")
		default:
			to.block = q.CIDR
		}
	}
	pods, nodes := false, false
	for _, q := range p.Not {
		switch {
		case len(q.And)+len(q.Not) > 0:
			return c.lose(field, "an exception with exceptions has no counterpart")
		case q.CIDR != nil && len(q.CIDR.Except) == 0:
			to.not = append(to.not, q.CIDR.Prefix)
		case q.Networks != nil:
			for _, b := range c.copied(*q.Networks, field) {
				to.not = append(to.not, b.Prefix)
			}
		case q.Pods != nil && q.Pods.String() == (policy.PodSelector{}).String():
			pods = true
		case q.Nodes != nil && q.Nodes.String() == (policy.NodeSelector{}).String():
			nodes = true
		default:
			return c.lose(field, "an exception by labels has no counterpart")
		}
	}
	if pods != nodes {
		return c.lose(field, "pods or nodes alone cannot be left out")
	}
	to.world = pods
	return c.cut(to, field)
}

// cut joins the blocks that are left out with the exceptions of the block.
func (c *converter) cut(to *peer, field string) bool {
	if len(to.not) == 0 {
		return true
	}
	if to.who != nil || to.nodes != nil || to.services != nil {
		return c.lose(field, "a block cut out of pods, nodes or services has no counterpart")
	}
	return true
}

// exact is the peer's block with all that is cut out of it; ok is false for one
// that has no block.
func (p *peer) exact() (b policy.CIDR, ok bool) {
	if p.block == nil {
		return b, false
	}
	b = policy.CIDR{Prefix: p.block.Prefix, Except: slices.Clone(p.block.Except)}
	for _, n := range p.not {
		switch {
		case !n.Overlaps(b.Prefix):
		case n.Bits() <= b.Prefix.Bits():
			b.Except = []netip.Prefix{b.Prefix} // nothing is left
			return b, true
		default:
			b.Except = append(b.Except, n)
		}
	}
	b.Except = syntax.Disjoint(b.Except)
	return b, true
}

// empty: nothing is left of the block.
func empty(b policy.CIDR) bool { return slices.Contains(b.Except, b.Prefix) }

// clear tells whether no address of the cluster is in a block, so that it makes
// no difference whether pods and nodes are meant. It needs a cluster to tell.
func (c *converter) clear(b policy.CIDR) bool {
	if len(c.snapshot.Nodes) == 0 {
		return false
	}
	hit := func(p netip.Prefix) bool {
		return p.Overlaps(b.Prefix) && !slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return e.Overlaps(p) && e.Bits() <= p.Bits() })
	}
	for _, n := range c.snapshot.Nodes {
		if slices.ContainsFunc(n.PodCIDRs, hit) || slices.ContainsFunc(n.Addrs, func(a netip.Addr) bool { return hit(netip.PrefixFrom(a, a.BitLen())) }) {
			return false
		}
	}
	for _, p := range c.snapshot.Pods {
		if slices.ContainsFunc(p.Addrs, func(a netip.Addr) bool { return hit(netip.PrefixFrom(a, a.BitLen())) }) {
			return false
		}
	}
	return true
}

// asAddress is a block for a dialect whose blocks mean whoever has the address.
func (c *converter) asAddress(p *peer, field string) (b policy.CIDR, ok bool) {
	b, ok = p.exact()
	if !ok {
		return b, c.lose(field, "everybody outside the cluster has no counterpart: name blocks")
	}
	if p.world && !empty(b) && !c.noteClear(b, field) {
		return b, c.lose(field, "%s without pods and nodes has no counterpart: cut out the ranges of the cluster", b.Prefix)
	}
	return b, true
}

func (c *converter) noteClear(b policy.CIDR, field string) bool {
	if !c.clear(b) {
		return false
	}
	c.note("%s %s: %s: pods and nodes are not told apart in %s, of this cluster none is there", c.from.Kind, c.from.Ref, field, b.Prefix)
	return true
}

// withPorts are the protocols that AnyProtocol stands for where ports are given.
var withPorts = []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.SCTP}

// portsOf are a rule's ports, each of one protocol; none: every one. ok is false
// if some cannot be said without types, exceptions, or other protocols.
func (c *converter) portsOf(r *policy.Rule, field string) (ports []policy.Port, any, ok bool) {
	if len(r.NotPorts) > 0 {
		return nil, false, c.lose(field, "ports that are left out have no counterpart")
	}
	if r.AnyPort {
		return nil, true, true
	}
	for _, p := range r.Ports {
		switch {
		case p.Typed || p.Protocol != traffic.AnyProtocol && !slices.Contains(withPorts, p.Protocol):
			return nil, false, c.lose(field, "%s has no counterpart", p)
		case p.Protocol != traffic.AnyProtocol:
			ports = append(ports, p)
		case p.Name == "" && p.From == 0 && p.To == 0:
			return nil, true, true
		default:
			for _, protocol := range withPorts {
				p.Protocol = protocol
				ports = append(ports, p)
			}
		}
	}
	return ports, false, true
}
