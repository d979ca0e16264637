package manifest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/manifest/document"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico"
)

// Calico's API, and the one that it stores the same objects in.
const (
	calicoGroup  = "projectcalico.org"
	calicoAPI    = calicoGroup + "/v3"
	calicoStored = "crd." + calicoGroup + "/v1"
)

func calicoKinds() []*kind {
	var kinds []*kind
	for _, api := range []string{calicoAPI, calicoStored} {
		kinds = append(kinds,
			policyKind(api, calico.Kind, false, adding(calico.Read)),
			policyKind(api, calico.GlobalKind, true, adding(calico.ReadGlobal)),
			policyKind(api, calico.StagedKind, false, staging(calico.ReadStaged)),
			policyKind(api, calico.StagedGlobalKind, true, staging(calico.ReadStagedGlobal)),
			policyKind(api, calico.StagedKubernetesKind, false, staging(calico.ReadStagedKubernetes)),
			policyKind(api, calico.TierKind, true, addTier),
			policyKind(api, calico.NetworkSetKind, false, addingNetworks(calico.ReadNetworkSet)),
			policyKind(api, calico.GlobalNetworkSetKind, true, addingNetworks(calico.ReadGlobalNetworkSet)),
			policyKind(api, calico.HostEndpointKind, true, addHost),
		)
	}
	for _, k := range kinds {
		if k.APIVersion == calicoStored {
			k.restore()
		}
	}
	return kinds
}

// restore makes the kind read what Calico stores as what people know.
func (k *kind) restore() {
	k.known, k.restored = calicoAPI, calico.Restore
	decode := k.decode
	k.decode = func(n *document.Node) (metav1.Object, []document.Problem) {
		object, problems := decode(n)
		if err := calico.Restore(object); err != nil {
			problems = append(problems, document.Problem{Line: n.LineOf(err.Field), Path: err.Field, Message: err.ErrorBody()})
		}
		return object, problems
	}
}

func staging[T any](read func(*T) (*policy.Staged, field.ErrorList)) adder[T] {
	return func(set *policy.Set, object *T, source policy.Source) ([]policy.Gap, field.ErrorList) {
		staged, errs := read(object)
		if staged == nil {
			return nil, errs
		}
		staged.Source = source
		set.Staged[staged.Ref] = staged
		return staged.Gaps, errs
	}
}

func addingNetworks[T any](read func(*T) (*policy.Networks, field.ErrorList)) adder[T] {
	return func(set *policy.Set, object *T, source policy.Source) ([]policy.Gap, field.ErrorList) {
		networks, errs := read(object)
		if networks == nil {
			return nil, errs
		}
		networks.Source = source
		set.Networks[networks.Ref] = networks
		return nil, errs
	}
}

// addHost adds a host, and the addresses that selectors find it by.
func addHost(set *policy.Set, object *calico.HostEndpoint, source policy.Source) ([]policy.Gap, field.ErrorList) {
	host, gaps, errs := calico.ReadHost(object)
	host.Source = source
	set.Hosts[host.Ref] = host
	addresses, _ := calico.ReadHostEndpoint(object)
	addresses.Source = source
	set.Networks[addresses.Ref] = addresses
	return gaps, errs
}

func addTier(set *policy.Set, object *calico.Tier, _ policy.Source) ([]policy.Gap, field.ErrorList) {
	tier, errs := calico.ReadTier(object)
	set.Tiers[tier.Name] = tier
	return nil, errs
}
