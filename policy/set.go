package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Set is the policies of a cluster with their tiers.
type Set struct {
	Tiers    map[string]Tier
	Policies map[Ref]*Policy
}

// NewSet is a set without policies; the NetworkPolicy tier is always there.
func NewSet() *Set {
	return &Set{
		Tiers:    map[string]Tier{NetworkPolicyTier.Name: NetworkPolicyTier},
		Policies: map[Ref]*Policy{},
	}
}

// Add puts a policy in, in place of one of the same name.
func (s *Set) Add(p *Policy) { s.Policies[p.Ref] = p }

// SortedTiers are the tiers in the order in which a connection passes them.
func (s *Set) SortedTiers() []Tier {
	tiers := make([]Tier, 0, len(s.Tiers))
	for _, t := range s.Tiers {
		tiers = append(tiers, t)
	}
	slices.SortFunc(tiers, func(a, b Tier) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.Name, b.Name))
	})
	return tiers
}

// Sorted are all policies by order, then reference. It is the order of
// evaluation within each tier.
func (s *Set) Sorted() []*Policy {
	policies := make([]*Policy, 0, len(s.Policies))
	for _, p := range s.Policies {
		policies = append(policies, p)
	}
	slices.SortFunc(policies, Compare)
	return policies
}

// Compare orders two policies of one tier by their order, then their reference.
func Compare(a, b *Policy) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), compareRefs(a.Ref, b.Ref))
}

func compareRefs(a, b Ref) int {
	return cmp.Or(
		cmp.Compare(a.Dialect, b.Dialect),
		strings.Compare(a.Kind, b.Kind),
		strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name),
	)
}
