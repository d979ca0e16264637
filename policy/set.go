package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Set is the policies of a cluster with their tiers, and the sets of networks
// that they refer to.
type Set struct {
	Tiers    map[string]Tier
	Policies map[Ref]*Policy
	Networks map[Ref]*Networks
	Hosts    map[Ref]*Host
	// Staged are policies that are not enforced.
	Staged map[Ref]*Staged
	// Failsafes are what no policy closes on Hosts; nil: DefaultFailsafes.
	Failsafes *Failsafes
	// Learned are the addresses that names have, as far as is known.
	Learned Learned
}

// OpenPorts are the failsafes.
func (s *Set) OpenPorts() Failsafes {
	if s.Failsafes == nil {
		return DefaultFailsafes()
	}
	return *s.Failsafes
}

// Staged is a policy that is evaluated and not enforced: somebody wants to know
// what it would do.
type Staged struct {
	*Policy
	Enforced Ref  // the policy in whose place it would come, if there is one
	Deletes  bool // the enforced policy would go, and nothing come
}

// Preview is the set as it would be if all that is staged were enforced.
func (s *Set) Preview() *Set {
	p := &Set{Tiers: s.Tiers, Policies: maps.Clone(s.Policies), Networks: s.Networks, Hosts: s.Hosts, Failsafes: s.Failsafes, Learned: s.Learned}
	for _, staged := range s.Staged {
		delete(p.Policies, staged.Enforced)
		if !staged.Deletes {
			p.Add(staged.Policy)
		}
	}
	return p
}

// NewSet is a set without policies; the tiers that are always there are in it.
func NewSet() *Set {
	s := &Set{
		Tiers: map[string]Tier{}, Policies: map[Ref]*Policy{}, Networks: map[Ref]*Networks{},
		Hosts: map[Ref]*Host{}, Staged: map[Ref]*Staged{}, Learned: Learned{},
	}
	for _, t := range StandardTiers() {
		s.Tiers[t.Name] = t
	}
	return s
}

// StandardTiers are the tiers that are always there.
func StandardTiers() []Tier { return []Tier{AdminTier, NetworkPolicyTier, BaselineTier} }

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

// Compare orders two policies of one tier by their order; those of one order by
// the names that Calico knows them by, as Calico does, then by reference.
func Compare(a, b *Policy) int {
	return cmp.Or(cmp.Compare(a.Order, b.Order), strings.Compare(a.calicoName(), b.calicoName()), compareRefs(a.Ref, b.Ref))
}

// calicoName is the name under which Calico sorts a NetworkPolicy among its own.
func (p *Policy) calicoName() string {
	if p.Dialect == Kubernetes {
		return "knp.default." + p.Name
	}
	return p.Name
}

func compareRefs(a, b Ref) int {
	return cmp.Or(
		cmp.Compare(a.Dialect, b.Dialect),
		strings.Compare(a.Kind, b.Kind),
		strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name),
		strings.Compare(a.Part, b.Part),
	)
}
