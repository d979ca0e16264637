package cilium

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Ours is our opinion on a cluster with policies.
type Ours struct{ *verdict.Evaluator }

// NewOurs takes objects through our readers. The error says which object they
// refuse.
func NewOurs(snapshot *cluster.Snapshot, objects *gen.CiliumObjects) (*Ours, error) {
	set := policy.NewSet()
	add := func(kind string, policies []*policy.Policy, errs field.ErrorList) error {
		if len(errs) > 0 {
			return fmt.Errorf("read %s: %w", kind, errs.ToAggregate())
		}
		for _, p := range policies {
			set.Add(p)
		}
		return nil
	}
	for _, object := range objects.NetworkPolicies {
		p, errs := k8s.Read(object)
		if err := add(k8s.Kind, []*policy.Policy{p}, errs); err != nil {
			return nil, err
		}
	}
	for _, object := range objects.Policies {
		policies, errs := cilium.Read(object)
		if err := add(cilium.Kind, policies, errs); err != nil {
			return nil, err
		}
	}
	for _, object := range objects.Clusterwide {
		policies, errs := cilium.ReadClusterwide(object)
		if err := add(cilium.ClusterwideKind, policies, errs); err != nil {
			return nil, err
		}
	}
	for _, object := range objects.Groups {
		n, errs := cilium.ReadCIDRGroup(object)
		if err := add(cilium.CIDRGroupKind, nil, errs); err != nil {
			return nil, err
		}
		set.Networks[n.Ref] = n
	}
	return &Ours{verdict.New(snapshot, set)}, nil
}

// Allows tells whether the policies of the connection's pod let it pass in a
// direction.
func (o *Ours) Allows(c verdict.Connection, d traffic.Direction) bool {
	result := o.Evaluate(c)
	if d == traffic.Egress {
		return result.Egress.Verdict == traffic.Allow
	}
	return result.Ingress.Verdict == traffic.Allow
}
