package gen

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico"
)

// dialects are the kinds of policies of a mixed world. Each makes the n-th policy
// as an API object, and reads that as a user's would be.
var dialects = []func(g *generator, n int) *policy.Policy{
	func(g *generator, n int) *policy.Policy { return read(g.networkPolicy(n)) },
	func(g *generator, n int) *policy.Policy { return read(g.networkPolicy(n)) },
	(*generator).clusterNetworkPolicy,
	(*generator).calicoPolicy,
	(*generator).calicoGlobalPolicy,
	(*generator).ciliumPolicy,
	(*generator).ciliumPolicy,
	(*generator).ciliumClusterwidePolicy,
}

func (g *generator) mixed(n int) *policy.Policy {
	return dialects[g.IntN(len(dialects))](g, n)
}

func (g *generator) mixedNetworks(n int) *policy.Networks {
	if g.in(3) {
		return g.ciliumNetworks(n)
	}
	return g.calicoNetworks(n)
}

// mixedCluster is what policies of a mixed world refer to.
func (g *generator) mixedCluster() {
	for n := range 1 + g.IntN(3) {
		g.world.SetTier(g.calicoTier(n))
	}
	for n := range g.IntN(5) {
		g.world.SetNetworks(g.mixedNetworks(n))
	}
	for range g.IntN(6) {
		g.world.SetServiceAccount(g.account())
	}
	for n := range 1 + g.IntN(4) {
		g.world.SetEndpoints(g.endpoints(n))
	}
}

// understood is what a reader made of an object, which must be valid.
func understood[T any](what T, errs field.ErrorList) T {
	if len(errs) > 0 {
		panic(fmt.Sprintf("%v does not pass its own reader: %v", what, errs.ToAggregate()))
	}
	return what
}

// calicoTier is the n-th tier of Calico's, which has a better place than those
// of the model alone: never the same as another's but for the name.
func (g *generator) calicoTier(n int) policy.Tier {
	t := &calico.Tier{}
	t.Name = tierName(n)
	if order := one(g, 100.0, 100, 500_000, 2_000_000); !g.in(5) {
		t.Spec.Order = &order
	}
	t.Spec.DefaultAction = one(g, "", "Deny", "Pass")
	return understood(calico.ReadTier(t))
}
