package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sort"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// nets are the prefixes that rules name, as a tree by what contains what. The
// matchers of an address are those of the smallest prefix that contains it and
// of all above that one; so their number is bounded by the depth of the tree,
// however many blocks there are and however they overlap. An exception is a
// prefix like any other: flattening knows what it is cut out of.
//
// What of a prefix no smaller one covers are its pieces, the plan's ranges.
type nets struct {
	root    *net // of both families; contains everything and is in no plan
	nodes   map[netip.Prefix]*net
	touched map[netip.Prefix]struct{} // got or lost a matcher
}

// net is one prefix.
type net struct {
	prefix   netip.Prefix
	marks    map[*matcher]int // how often each was set
	parent   *net             // nil: not in the tree
	children []*net           // by address; they do not overlap
	pieces   []plan.Range     // in the plan
	matchers []*matcher       // of this prefix and all above
	group    *group           // of an address that satisfies just these
}

func newNets() *nets {
	return &nets{root: &net{}, nodes: map[netip.Prefix]*net{}, touched: map[netip.Prefix]struct{}{}}
}

// mark gives a prefix a matcher. The tree follows in settle.
func (n *nets) mark(p netip.Prefix, m *matcher) {
	node, ok := n.nodes[p]
	if !ok {
		node = &net{prefix: p, marks: map[*matcher]int{}}
		n.nodes[p] = node
	}
	if node.marks[m]++; node.marks[m] == 1 {
		n.touched[p] = struct{}{}
	}
}

// unmark undoes one mark.
func (n *nets) unmark(p netip.Prefix, m *matcher) {
	node := n.nodes[p]
	if node.marks[m]--; node.marks[m] == 0 {
		delete(node.marks, m)
		n.touched[p] = struct{}{}
	}
}

// find is the smallest prefix of the tree that contains all of p; the root if
// there is none.
func (n *nets) find(p netip.Prefix) *net {
	at := n.root
	for {
		i := at.search(p)
		if i == 0 || !contains(at.children[i-1].prefix, p) {
			return at
		}
		at = at.children[i-1]
	}
}

// search is the number of children that begin before p or with it.
func (n *net) search(p netip.Prefix) int {
	return sort.Search(len(n.children), func(i int) bool { return p.Addr().Less(n.children[i].prefix.Addr()) })
}

func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// settle rebuilds the tree where prefixes came or went. It returns the prefixes
// below which matchers changed, none inside another, and the nodes whose pieces
// did.
func (n *nets) settle() (changed []netip.Prefix, reshaped map[*net]struct{}) {
	reshaped = map[*net]struct{}{}
	touched := slices.SortedFunc(maps.Keys(n.touched), byPrefix)
	for _, p := range touched {
		node := n.nodes[p]
		if len(node.marks) > 0 && node.parent == nil {
			n.insert(node, reshaped)
		} else if len(node.marks) == 0 {
			n.remove(node, reshaped)
		}
		if len(changed) == 0 || !contains(changed[len(changed)-1], p) {
			changed = append(changed, p)
		}
	}
	clear(n.touched)
	return changed, reshaped
}

// byPrefix puts what contains before what is contained.
func byPrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func (n *nets) insert(node *net, reshaped map[*net]struct{}) {
	parent := n.find(node.prefix)
	from := parent.search(node.prefix)
	to := from
	if from > 0 && contains(node.prefix, parent.children[from-1].prefix) {
		from-- // it begins where the node does
	}
	for to < len(parent.children) && contains(node.prefix, parent.children[to].prefix) {
		to++
	}
	node.parent = parent
	node.children = slices.Clone(parent.children[from:to])
	for _, child := range node.children {
		child.parent = node
	}
	parent.children = slices.Replace(parent.children, from, to, node)
	reshaped[parent], reshaped[node] = struct{}{}, struct{}{}
}

func (n *nets) remove(node *net, reshaped map[*net]struct{}) {
	delete(n.nodes, node.prefix)
	parent := node.parent
	if parent == nil {
		return // came and went within one commit
	}
	at := parent.search(node.prefix)
	for _, child := range node.children {
		child.parent = parent
	}
	parent.children = slices.Replace(parent.children, at-1, at, node.children...)
	node.children, node.parent = nil, nil
	reshaped[parent], reshaped[node] = struct{}{}, struct{}{}
}

// gaps are what no child covers; none for a node outside the tree.
func (n *net) gaps() []plan.Range {
	if n.parent == nil {
		return nil
	}
	var found []plan.Range
	next, last := n.prefix.Addr(), lastOf(n.prefix)
	for _, child := range n.children {
		if next.Less(child.prefix.Addr()) {
			found = append(found, plan.Range{First: next, Last: child.prefix.Addr().Prev()})
		}
		next = lastOf(child.prefix).Next()
		if !next.IsValid() || !n.prefix.Contains(next) {
			return found
		}
	}
	return append(found, plan.Range{First: next, Last: last})
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := range bytes {
		if host := 8*(i+1) - p.Bits(); host >= 8 {
			bytes[i] = 0xff
		} else if host > 0 {
			bytes[i] |= 1<<host - 1
		}
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// each visits all nodes inside a prefix, outer ones first.
func (n *nets) each(p netip.Prefix, visit func(*net)) {
	at := n.find(p)
	if at.prefix == p {
		at.each(visit)
		return
	}
	i := at.search(p)
	if i > 0 && contains(p, at.children[i-1].prefix) {
		i-- // it begins where p does
	}
	for ; i < len(at.children) && contains(p, at.children[i].prefix); i++ {
		at.children[i].each(visit)
	}
}

func (n *net) each(visit func(*net)) {
	visit(n)
	for _, child := range n.children {
		child.each(visit)
	}
}

// inherit works out the node's matchers from its parent's.
func (n *net) inherit() {
	n.matchers = slices.Clone(n.parent.matchers)
	for m := range n.marks {
		if !slices.Contains(n.matchers, m) {
			n.matchers = append(n.matchers, m)
		}
	}
	slices.SortFunc(n.matchers, bySerial)
}

// settleNets brings the plan's ranges up to date and marks the addresses whose
// block changed.
func (c *Compiler) settleNets() {
	if len(c.nets.touched) == 0 {
		return
	}
	changed, reshaped := c.nets.settle()
	for node := range reshaped {
		c.reshape(node)
	}
	for _, p := range changed {
		c.nets.each(p, func(node *net) {
			node.inherit()
			c.regroup(&node.group, c.intern([][]*matcher{node.matchers}))
			c.dirty.nets[node] = struct{}{}
		})
		c.addresses.inside(p, c.dirty.address)
	}
	for node := range reshaped {
		if node.parent == nil && node != c.nets.root {
			c.regroup(&node.group, nil)
		}
		c.dirty.nets[node] = struct{}{}
	}
}

// reshape takes the ranges away that are no longer pieces of the node.
func (c *Compiler) reshape(node *net) {
	if node == c.nets.root {
		return
	}
	now := node.gaps()
	kept := make(map[plan.Range]struct{}, len(now))
	for _, r := range now {
		kept[r] = struct{}{}
	}
	for _, r := range node.pieces {
		if _, ok := kept[r]; !ok {
			c.out.ranges.delete(r)
		}
	}
	node.pieces = now
}
