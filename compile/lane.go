package compile

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// lane is policies of one tier that are asked together. With union, any rule of
// theirs that denies comes before all others.
type lane struct {
	policies []*record
	union    bool
}

// end is what becomes of a connection that no rule decides.
func (l lane) end(t policy.Tier, d traffic.Direction) policy.Action {
	if slices.ContainsFunc(l.policies, func(r *record) bool { return r.In(d).Isolates }) {
		return t.End
	}
	return policy.Pass
}

// lanesOf are the lanes of a tier's policies, which are in their order: those of
// Cilium add up with NetworkPolicies; all others are asked in their order, and
// NetworkPolicies with them. Where a pod has both, both must allow.
func lanesOf(policies []*record) []lane {
	ciliums := without(policies, func(d policy.Dialect) bool { return d != policy.Cilium })
	if len(ciliums) == 0 {
		return []lane{{policies: policies}}
	}
	union := lane{without(policies, func(d policy.Dialect) bool { return d != policy.Cilium && d != policy.Kubernetes }), true}
	if len(union.policies) == len(policies) {
		return []lane{union}
	}
	return []lane{{policies: without(policies, func(d policy.Dialect) bool { return d == policy.Cilium })}, union}
}

// without are the policies that are not of some dialects.
func without(policies []*record, of func(policy.Dialect) bool) []*record {
	return slices.DeleteFunc(slices.Clone(policies), func(r *record) bool { return of(r.Dialect) })
}
