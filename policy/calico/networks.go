package calico

import (
	"fmt"
	"math"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

// ReadTier turns a Tier into the model. Calico's own tiers have their place.
func ReadTier(object *Tier) (policy.Tier, field.ErrorList) {
	r := newReader(&object.ObjectMeta, false)
	for _, message := range validation.IsDNS1123Label(object.Name) { // it is a part of other names
		if len(r.errs) == 0 {
			r.fail(field.Invalid(field.NewPath("metadata", "name"), object.Name, message))
		}
	}
	tier := policy.Tier{Name: TierName(object.Name), Order: math.Inf(1), End: policy.Deny}
	for _, standard := range policy.StandardTiers() {
		if tier.Name != standard.Name {
			continue
		}
		if object.Spec.Order != nil && *object.Spec.Order != standard.Order {
			r.fail(field.Invalid(r.spec.Child("order"), *object.Spec.Order, fmt.Sprintf("the order of this tier is %.0f: remove it", standard.Order)))
		}
		return standard, r.errs
	}
	if object.Spec.Order != nil {
		tier.Order = *object.Spec.Order
	}
	switch object.Spec.DefaultAction {
	case "", "Deny":
	case "Pass":
		tier.End = policy.Pass
	default:
		r.fail(field.NotSupported(r.spec.Child("defaultAction"), object.Spec.DefaultAction, []string{"Deny", "Pass"}))
	}
	return tier, r.errs
}

// ReadNetworkSet turns a NetworkSet into the model. With errors it lacks the
// networks that are not understood; its Source is for the caller to set.
func ReadNetworkSet(object *NetworkSet) (*policy.Networks, field.ErrorList) {
	return readNetworks(NetworkSetKind, &object.ObjectMeta, true, object.Spec.Nets)
}

// ReadGlobalNetworkSet turns a GlobalNetworkSet into the model, as ReadNetworkSet
// does.
func ReadGlobalNetworkSet(object *GlobalNetworkSet) (*policy.Networks, field.ErrorList) {
	return readNetworks(GlobalNetworkSetKind, &object.ObjectMeta, false, object.Spec.Nets)
}

// ReadHostEndpoint turns a HostEndpoint into the addresses that selectors find
// it by, as ReadNetworkSet does. On the host itself no policy is enforced.
func ReadHostEndpoint(object *HostEndpoint) (*policy.Networks, field.ErrorList) {
	spec, path := &object.Spec, field.NewPath("spec")
	n, errs := readNetworks(HostEndpointKind, &object.ObjectMeta, false, nil)
	if spec.Node == "" {
		errs = append(errs, field.Required(path.Child("node"), "give the node's name"))
	}
	if spec.InterfaceName == "" && len(spec.ExpectedIPs) == 0 {
		errs = append(errs, field.Required(path.Child("interfaceName"), `give an interface, "*" for all of them, or expectedIPs`))
	}
	for i, text := range spec.ExpectedIPs {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			errs = append(errs, field.Invalid(path.Child("expectedIPs").Index(i), text, "must be an address, for example 10.0.0.1"))
			continue
		}
		addr = addr.Unmap()
		n.Prefixes = append(n.Prefixes, netip.PrefixFrom(addr, addr.BitLen()))
	}
	n.Prefixes = syntax.Disjoint(n.Prefixes)
	return n, errs
}

func readNetworks(kind string, meta *metav1.ObjectMeta, namespaced bool, nets []string) (*policy.Networks, field.ErrorList) {
	r := newReader(meta, namespaced)
	n := &policy.Networks{
		Ref:    policy.Ref{Dialect: policy.Calico, Kind: kind, Namespace: meta.Namespace, Name: meta.Name},
		Labels: meta.Labels,
	}
	path := r.spec.Child("nets")
	for i, text := range nets {
		prefix, err := netOf(text, path.Index(i))
		if err != nil {
			r.fail(err)
			continue
		}
		if slices.Index(nets, text) < i {
			r.fail(field.Duplicate(path.Index(i), text))
		}
		n.Prefixes = append(n.Prefixes, prefix)
	}
	n.Prefixes = syntax.Disjoint(n.Prefixes)
	return n, r.errs
}
