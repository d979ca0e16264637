package compile

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// group is a set of matchers that some address or block satisfies.
type group struct {
	key string
	// variants are the sets of matchers of each claimant: one, but for an address
	// that is claimed several times.
	variants [][]*matcher
	own      []*matcher          // that it may have rows for: those that wider lacks
	wider    *group              // nil: there is none
	classes  map[*class]struct{} // where it has rows
	refs     int                 // addresses, blocks, and groups whose wider one it is
	text     []string
	sum      [sha256.Size]byte
	id       plan.PeerID
	alive    bool
}

func (g *group) digest() [sha256.Size]byte { return g.sum }

// intern is the group of some sets of matchers, each in an order that depends on
// the set alone. It is nil for the one empty set: an address without a group.
func (c *Compiler) intern(variants [][]*matcher) *group {
	variants = distinct(variants)
	if len(variants) == 0 || len(variants) == 1 && len(variants[0]) == 0 {
		return nil
	}
	var key strings.Builder
	for i, matchers := range variants {
		if i > 0 {
			key.WriteString("\xff\xff\xff\xff")
		}
		key.WriteString(keyOf(matchers))
	}
	g, ok := c.groups[key.String()]
	if !ok {
		g = c.newGroup(key.String(), variants)
		c.groups[g.key] = g
		c.stirred[g] = struct{}{}
	}
	return g
}

func distinct(variants [][]*matcher) [][]*matcher {
	if len(variants) < 2 {
		return variants
	}
	slices.SortFunc(variants, func(a, b []*matcher) int { return slices.CompareFunc(a, b, bySerial) })
	return slices.CompactFunc(variants, slices.Equal[[]*matcher])
}

func (c *Compiler) newGroup(key string, variants [][]*matcher) *group {
	g := &group{key: key, variants: variants, text: textOf(variants), classes: map[*class]struct{}{}}
	h := sha256.New()
	for _, t := range g.text {
		h.Write([]byte(strconv.Itoa(len(t)) + ":" + t))
	}
	h.Sum(g.sum[:0])
	if len(variants) > 1 {
		for _, matchers := range variants {
			g.own = append(g.own, matchers...)
		}
		return g
	}
	var wide []*matcher
	for _, m := range variants[0] {
		if m.wide {
			wide = append(wide, m)
		} else {
			g.own = append(g.own, m)
		}
	}
	if len(g.own) == 0 {
		g.own = variants[0]
		return g
	}
	if g.wider = c.intern([][]*matcher{wide}); g.wider != nil {
		c.hold(g.wider, 1)
	}
	return g
}

// textOf is what a group stands for, sorted. Of several claimants, each is one
// line.
func textOf(variants [][]*matcher) []string {
	var lines []string
	for _, matchers := range variants {
		var texts []string
		for _, m := range matchers {
			texts = append(texts, m.text)
		}
		slices.Sort(texts)
		if len(variants) == 1 {
			return texts
		}
		lines = append(lines, "claimed by one with: "+strings.Join(texts, "; "))
	}
	slices.Sort(lines)
	return lines
}

func (c *Compiler) hold(g *group, n int) {
	if g != nil {
		g.refs += n
		c.stirred[g] = struct{}{}
	}
}

// regroup puts a group in another's place.
func (c *Compiler) regroup(at **group, g *group) {
	if *at != g {
		c.hold(g, 1)
		c.hold(*at, -1)
		*at = g
	}
}

// settleGroups ends the groups that nothing has any more, with their rows, gives
// numbers to the new ones and returns these.
func (c *Compiler) settleGroups() (born []*group) {
	for len(c.stirred) > 0 {
		for g := range c.stirred {
			delete(c.stirred, g)
			if g.refs == 0 {
				c.endGroup(g)
			} else if !g.alive {
				g.alive = true
				c.groupNames.add(g)
				born = append(born, g)
			}
		}
	}
	born = slices.DeleteFunc(born, func(g *group) bool { return !g.alive })
	numbers := c.groupNames.settle()
	renamed := false
	for g := range numbers {
		if g.id != 0 {
			renamed = true
			c.erase(g)
			born = append(born, g)
		}
	}
	for g, id := range numbers {
		g.id = id
	}
	for _, g := range born {
		c.beginGroup(g)
	}
	if renamed {
		c.rewriteNumbers()
	}
	return born
}

func (c *Compiler) beginGroup(g *group) {
	c.out.peers.set(g.id, g.text)
	if g.wider != nil {
		c.out.wider.set(g.id, g.wider.id)
	}
	for _, m := range g.own {
		m.groups[g] = struct{}{}
	}
}

func (c *Compiler) endGroup(g *group) {
	if c.groups[g.key] != g {
		return
	}
	delete(c.groups, g.key)
	if g.wider != nil {
		c.hold(g.wider, -1)
	}
	if !g.alive {
		return
	}
	g.alive = false
	c.groupNames.remove(g)
	c.erase(g)
	for _, m := range g.own {
		delete(m.groups, g)
	}
}

// erase takes a group's number out of the plan.
func (c *Compiler) erase(g *group) {
	c.out.peers.delete(g.id)
	c.out.wider.delete(g.id)
	for k := range g.classes {
		k.write(c.out.class(k.id), g, nil)
	}
}

// rewriteNumbers looks at everything that names a group, after a collision gave
// one another number.
func (c *Compiler) rewriteNumbers() {
	for _, g := range c.groups {
		if g.alive && g.wider != nil {
			c.out.wider.set(g.id, g.wider.id)
		}
	}
	for _, node := range c.nets.nodes {
		c.dirty.nets[node] = struct{}{}
	}
	for _, a := range c.addresses.byAddr {
		c.dirty.address(a)
	}
}
