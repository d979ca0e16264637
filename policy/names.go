package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/l7"
)

// NameSelector picks the addresses that domain names have. Which ones they have
// is learned from the answers that the pods of the policy got, for this policy
// alone: what one pod looks up opens nothing for another's rules.
type NameSelector struct {
	Policy Ref
	Names  []l7.Name // one must match
}

// Match tells whether the selector speaks of a name.
func (s NameSelector) Match(name string) bool {
	return slices.ContainsFunc(s.Names, func(n l7.Name) bool { return n.Match(name) })
}

// String is canonical, and the key of Set.Learned: "names of cilium shop/egress:
// api.github.com, *.example.com".
func (s NameSelector) String() string {
	names := make([]string, len(s.Names))
	for i, n := range s.Names {
		names[i] = n.String()
	}
	slices.Sort(names)
	return "names of " + strings.ToLower(s.Policy.Kind) + " " + s.Policy.String() + ": " + strings.Join(slices.Compact(names), ", ")
}

// Learned are the addresses of the names that a selector picks, by the
// selector's text.
type Learned map[string][]netip.Addr

// Of are the selectors that an address was learned for, sorted.
func (l Learned) Of(addr netip.Addr) []string {
	var found []string
	for selector, addrs := range l {
		if slices.Contains(addrs, addr) {
			found = append(found, selector)
		}
	}
	slices.Sort(found)
	return found
}

// NameSelectors are those that the policy's rules for egress have; a name means
// something only there.
func (p *Policy) NameSelectors() []*NameSelector {
	if p.Egress == nil {
		return nil
	}
	var found []*NameSelector
	for _, r := range p.Egress.Rules {
		for _, peer := range r.Peers {
			found = peer.appendNames(found)
		}
	}
	return found
}

func (p *Peer) appendNames(to []*NameSelector) []*NameSelector {
	if p.Names != nil {
		to = append(to, p.Names)
	}
	for _, more := range [][]Peer{p.And, p.Not} {
		for i := range more {
			to = more[i].appendNames(to)
		}
	}
	return to
}
