package compile

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// A peer is matched by asking single questions, one matcher each. Where it takes
// more than one, it is written as conjunctions of answers: an address is meant
// if one of them holds.

// conjunction is questions that must be answered with yes, and such that must be
// answered with no. Each is a peer with one field set and no exceptions.
type conjunction struct{ yes, no []policy.Peer }

func (c conjunction) and(o conjunction) conjunction {
	return conjunction{slices.Concat(c.yes, o.yes), slices.Concat(c.no, o.no)}
}

// product is what a conjunction of each list makes.
func product(a, b []conjunction) []conjunction {
	var all []conjunction
	for _, x := range a {
		for _, y := range b {
			all = append(all, x.and(y))
		}
	}
	return all
}

// whenIs are the conjunctions of which one holds for what the peer picks.
func whenIs(p policy.Peer) []conjunction {
	all := whenItself(p)
	for _, q := range p.And {
		all = product(all, whenIs(q))
	}
	for _, q := range p.Not {
		all = product(all, whenNot(q))
	}
	return all
}

// whenNot are the conjunctions of which one holds for what the peer does not pick.
func whenNot(p policy.Peer) []conjunction {
	all := whenNotItself(p)
	for _, q := range p.And {
		all = append(all, whenNot(q)...)
	}
	for _, q := range p.Not {
		all = append(all, whenIs(q)...)
	}
	return all
}

func whenItself(p policy.Peer) []conjunction {
	switch {
	case p.CIDR != nil:
		c := conjunction{yes: []policy.Peer{blockPeer(p.CIDR.Prefix)}}
		for _, e := range p.CIDR.Except {
			c.no = append(c.no, blockPeer(e))
		}
		return []conjunction{c}
	case p.Pods != nil || p.Nodes != nil || p.Networks != nil || p.Services != nil || p.Names != nil:
		return []conjunction{{yes: []policy.Peer{itself(p)}}}
	case len(p.And)+len(p.Not) > 0:
		return []conjunction{{}}
	}
	return nil
}

func whenNotItself(p policy.Peer) []conjunction {
	switch {
	case p.CIDR != nil:
		all := []conjunction{{no: []policy.Peer{blockPeer(p.CIDR.Prefix)}}}
		for _, e := range p.CIDR.Except {
			all = append(all, conjunction{yes: []policy.Peer{blockPeer(e)}})
		}
		return all
	case p.Pods != nil || p.Nodes != nil || p.Networks != nil || p.Services != nil || p.Names != nil:
		return []conjunction{{no: []policy.Peer{itself(p)}}}
	case len(p.And)+len(p.Not) > 0:
		return nil
	}
	return []conjunction{{}}
}

// itself is the peer without what narrows it.
func itself(p policy.Peer) policy.Peer {
	return policy.Peer{Pods: p.Pods, Nodes: p.Nodes, Networks: p.Networks, Services: p.Services, Names: p.Names}
}

func blockPeer(p netip.Prefix) policy.Peer {
	return policy.Peer{CIDR: &policy.CIDR{Prefix: p.Masked()}}
}

// tally is how far the answers for an address have come towards a clause.
type tally struct {
	rules  *ruleset
	clause int32
	have   int32
	cut    bool
}

// tallies are few: only clauses that some answer is about.
type tallies []tally

func (t *tallies) of(r *ruleset, clause int32) *tally {
	for i := range *t {
		if (*t)[i].rules == r && (*t)[i].clause == clause {
			return &(*t)[i]
		}
	}
	*t = append(*t, tally{rules: r, clause: clause})
	return &(*t)[len(*t)-1]
}
