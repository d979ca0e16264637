package syntax

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// Block reads a block of addresses. Bits behind the prefix length are masked, as
// API servers before 1.36 allow them. Leading zeros and IPv4 written as IPv6 are
// refused: implementations disagree on what they mean.
func Block(value string, path *field.Path) (netip.Prefix, *field.Error) {
	prefix, err := netip.ParsePrefix(value)
	switch {
	case err == nil && prefix.Addr().Is4In6():
		return netip.Prefix{}, field.Invalid(path, value, "must not be an IPv4-mapped IPv6 address: write the block as IPv4")
	case err == nil:
		return prefix.Masked(), nil
	}
	return netip.Prefix{}, field.Invalid(path, value, blockHint(value))
}

func blockHint(value string) string {
	if addr, err := netip.ParseAddr(value); err == nil && addr.Zone() == "" {
		return fmt.Sprintf("must be a CIDR: for this one address write %s/%d", addr, addr.BitLen())
	}
	if _, block, err := netutils.ParseCIDRSloppy(value); err == nil {
		return fmt.Sprintf("must not have leading zeros: write %s", block)
	}
	return "must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64"
}

// Disjoint is the sorted blocks without those that lie in another.
func Disjoint(blocks []netip.Prefix) []netip.Prefix {
	slices.SortFunc(blocks, netip.Prefix.Compare)
	var kept []netip.Prefix
	for _, p := range blocks {
		if n := len(kept); n == 0 || !kept[n-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return kept
}
