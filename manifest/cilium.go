package manifest

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
)

// Cilium's API; sets of networks began in an older version.
const (
	ciliumAPI   = "cilium.io/v2"
	ciliumAlpha = "cilium.io/v2alpha1"
)

func ciliumKinds() []*kind {
	return []*kind{
		policyKind(ciliumAPI, cilium.Kind, false, addingAll(cilium.Read)),
		policyKind(ciliumAPI, cilium.ClusterwideKind, true, addingAll(cilium.ReadClusterwide)),
		policyKind(ciliumAPI, cilium.CIDRGroupKind, true, addingNetworks(cilium.ReadCIDRGroup)),
		policyKind(ciliumAlpha, cilium.CIDRGroupKind, true, addingNetworks(cilium.ReadCIDRGroup)),
	}
}

// addingAll adds the policies of an object that holds several.
func addingAll[T any](read func(*T) ([]*policy.Policy, field.ErrorList)) adder[T] {
	return func(set *policy.Set, object *T, source policy.Source) ([]policy.Gap, field.ErrorList) {
		policies, errs := read(object)
		if len(errs) > 0 {
			return nil, errs
		}
		var gaps []policy.Gap
		for _, p := range policies {
			p.Source = source
			set.Add(p)
			gaps = append(gaps, p.Gaps...)
		}
		return gaps, nil
	}
}
