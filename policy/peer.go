package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Peer is the other end of a connection. At most one of Pods, CIDR, Nodes,
// Networks, Services and Names is set; with none of them, And and Not alone say
// what is meant. The zero value picks nobody.
type Peer struct {
	Pods     *PodSelector
	CIDR     *CIDR // an address, whoever has it
	Nodes    *NodeSelector
	Networks *NetworkSelector // an address that lies in a set
	Services *ServiceSelector // an address that services lead to
	Names    *NameSelector    // an address that a name was seen to have
	// And are what an end must be besides, Not what it must not be. What is in
	// them has neither itself.
	And, Not []Peer
}

// Matches tells whether the peer picks an end.
func (p Peer) Matches(e *End) bool {
	return p.itself(e) &&
		!slices.ContainsFunc(p.And, func(q Peer) bool { return !q.Matches(e) }) &&
		!slices.ContainsFunc(p.Not, func(q Peer) bool { return q.Matches(e) })
}

func (p Peer) itself(e *End) bool {
	switch {
	case p.Pods != nil:
		return e.Pod != nil && p.Pods.Matches(e.Pod, e.Labels)
	case p.CIDR != nil:
		return p.CIDR.Contains(e.Addr)
	case p.Nodes != nil:
		return e.Node != nil && p.Nodes.Matches(e.Node, e.Own)
	case p.Networks != nil:
		return slices.ContainsFunc(e.Networks, func(n Member) bool { return p.Networks.Matches(n.Networks, n.Labels) })
	case p.Services != nil:
		return p.Services.picks(e)
	case p.Names != nil:
		return slices.Contains(e.Names, p.Names.String())
	}
	return len(p.And)+len(p.Not) > 0
}

// String is canonical: equal strings mean equal peers.
func (p Peer) String() string {
	var words []string
	switch {
	case p.Pods != nil:
		words = append(words, p.Pods.String())
	case p.CIDR != nil:
		words = append(words, "net "+p.CIDR.String())
	case p.Nodes != nil:
		words = append(words, p.Nodes.String())
	case p.Networks != nil:
		words = append(words, p.Networks.String())
	case p.Services != nil:
		words = append(words, p.Services.String())
	case p.Names != nil:
		words = append(words, p.Names.String())
	case len(p.And)+len(p.Not) == 0:
		return "none"
	}
	words = append(words, sorted(p.And, "")...)
	words = append(words, sorted(p.Not, "not ")...)
	return strings.Join(words, " and ")
}

func sorted(peers []Peer, prefix string) []string {
	texts := make([]string, len(peers))
	for i, p := range peers {
		texts[i] = prefix + p.String()
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// CIDR is a block of addresses with parts cut out.
type CIDR struct {
	Prefix netip.Prefix   // masked
	Except []netip.Prefix // masked, inside Prefix, sorted
}

// Contains tells whether the address is in the block and in none of its
// exceptions.
func (c CIDR) Contains(addr netip.Addr) bool {
	if !c.Prefix.Contains(addr) {
		return false
	}
	for _, e := range c.Except {
		if e.Contains(addr) {
			return false
		}
	}
	return true
}

// String is canonical: "10.0.0.0/8 except 10.1.0.0/16".
func (c CIDR) String() string {
	s := c.Prefix.String()
	for i, e := range c.Except {
		if i == 0 {
			s += " except "
		} else {
			s += ","
		}
		s += e.String()
	}
	return s
}
