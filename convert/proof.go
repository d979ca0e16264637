package convert

import (
	"fmt"
	"maps"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
	"github.com/bulkhead-dev/bulkhead/policy/clusternp"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Read is the set with the result in the place of what was converted: the
// policies that were of the dialect before stay, and what the readers make of the
// objects comes to them.
func (r *Result) Read(set *policy.Set, to policy.Dialect) (*policy.Set, error) {
	as := *set
	after := &as
	after.Tiers, after.Policies, after.Staged = maps.Clone(set.Tiers), map[policy.Ref]*policy.Policy{}, nil
	for ref, p := range set.Policies {
		if p.Dialect == to {
			after.Policies[ref] = p
		}
	}
	for _, o := range r.Objects {
		policies, tier, errs := read(o)
		if len(errs) > 0 {
			return nil, fmt.Errorf("read %T %s: %w", o, o.GetName(), errs.ToAggregate())
		}
		if tier != nil {
			after.Tiers[tier.Name] = *tier
		}
		for _, p := range policies {
			if _, taken := after.Policies[p.Ref]; taken {
				return nil, fmt.Errorf("read %T %s: there is a policy of that name: rename one of the two", o, p.Ref)
			}
			after.Policies[p.Ref] = p
		}
	}
	return after, nil
}

func read(o any) (policies []*policy.Policy, tier *policy.Tier, errs field.ErrorList) {
	var p *policy.Policy
	switch o := o.(type) {
	case *networkingv1.NetworkPolicy:
		p, errs = k8s.Read(o)
	case *v1alpha2.ClusterNetworkPolicy:
		p, errs = clusternp.Read(o)
	case *calico.NetworkPolicy:
		p, errs = calico.Read(o)
	case *calico.GlobalNetworkPolicy:
		p, errs = calico.ReadGlobal(o)
	case *calico.Tier:
		t, errs := calico.ReadTier(o)
		return nil, &t, errs
	case *cilium.NetworkPolicy:
		policies, errs = cilium.Read(o)
		return policies, nil, errs
	case *cilium.ClusterwideNetworkPolicy:
		policies, errs = cilium.ReadClusterwide(o)
		return policies, nil, errs
	}
	return []*policy.Policy{p}, nil, errs
}

// Difference is a connection of which two sets of policies think differently.
type Difference struct {
	verdict.Connection
	Before, After verdict.Result
}

// String is "shop/a -> shop/b TCP 80: allow becomes deny".
func (d Difference) String() string {
	return fmt.Sprintf("%s: %s becomes %s", d.Connection, d.Before.Verdict, d.After.Verdict)
}

// Prove asks both sets about every connection that the matrix of either asks
// about, and returns how many these were and where the answers differ.
func Prove(s *cluster.Snapshot, before, after *policy.Set) (asked int, differ []Difference) {
	was, is := verdict.New(s, before), verdict.New(s, after)
	done := map[verdict.Connection]bool{}
	for _, set := range []*policy.Set{before, after} {
		for _, c := range matrix.Connections(s, set) {
			if done[c] {
				continue
			}
			done[c] = true
			if was.Verdict(c) != is.Verdict(c) {
				differ = append(differ, Difference{c, was.Evaluate(c), is.Evaluate(c)})
			}
		}
	}
	return len(done), differ
}
