package k8s

import (
	"fmt"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func (r *reader) ipBlock(block *networkingv1.IPBlock, path *field.Path) (*policy.CIDR, bool) {
	if block.CIDR == "" {
		return nil, r.fail(field.Required(path.Child("cidr"), "give the block, for example 10.9.8.0/24 or 2001:db8::/64"))
	}
	prefix, ok := r.prefix(block.CIDR, path.Child("cidr"))
	cidr := &policy.CIDR{Prefix: prefix}
	for i, except := range block.Except {
		at := path.Child("except").Index(i)
		cut, valid := r.prefix(except, at)
		switch {
		case !valid:
			ok = false
		case prefix.IsValid() && !inside(cut, prefix):
			ok = r.fail(field.Invalid(at, except, outside(cut, prefix)))
		default:
			cidr.Except = append(cidr.Except, cut)
		}
	}
	cidr.Except = disjoint(cidr.Except)
	return cidr, ok
}

// prefix masks bits behind the prefix length, as API servers before 1.36 allow
// them. Leading zeros and IPv4 written as IPv6 are refused: implementations
// disagree on what they mean.
func (r *reader) prefix(value string, path *field.Path) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(value)
	switch {
	case err == nil && prefix.Addr().Is4In6():
		return netip.Prefix{}, r.fail(field.Invalid(path, value, "must not be an IPv4-mapped IPv6 address: write the block as IPv4"))
	case err == nil:
		return prefix.Masked(), true
	}
	return netip.Prefix{}, r.fail(field.Invalid(path, value, prefixHint(value)))
}

func prefixHint(value string) string {
	if addr, err := netip.ParseAddr(value); err == nil && addr.Zone() == "" {
		return fmt.Sprintf("must be a CIDR: for this one address write %s/%d", addr, addr.BitLen())
	}
	if _, block, err := netutils.ParseCIDRSloppy(value); err == nil {
		return fmt.Sprintf("must not have leading zeros: write %s", block)
	}
	return "must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64"
}

// inside tells whether the cut leaves something of the block.
func inside(cut, block netip.Prefix) bool {
	return cut.Bits() > block.Bits() && block.Contains(cut.Addr())
}

func outside(cut, block netip.Prefix) string {
	if cut.Addr().BitLen() != block.Addr().BitLen() {
		return fmt.Sprintf("must be of the same address family as cidr %s: move it to a block of its own family", block)
	}
	if cut == block {
		return "must be a strict subset of `cidr`: it leaves nothing of the block, so remove the entry"
	}
	return fmt.Sprintf("must be a strict subset of `cidr`: it is outside %s, so remove it or widen the block", block)
}

// disjoint is the sorted prefixes without those that lie in another.
func disjoint(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	var kept []netip.Prefix
	for _, p := range prefixes {
		if n := len(kept); n == 0 || !kept[n-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return kept
}
