package k8s

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

func (r *reader) ipBlock(block *networkingv1.IPBlock, path *field.Path) (*policy.CIDR, bool) {
	if block.CIDR == "" {
		return nil, r.fail(field.Required(path.Child("cidr"), "give the block, for example 10.9.8.0/24 or 2001:db8::/64"))
	}
	prefix, ok := r.block(block.CIDR, path.Child("cidr"))
	cidr := &policy.CIDR{Prefix: prefix}
	for i, except := range block.Except {
		at := path.Child("except").Index(i)
		cut, valid := r.block(except, at)
		switch {
		case !valid:
			ok = false
		case prefix.IsValid() && !inside(cut, prefix):
			ok = r.fail(field.Invalid(at, except, outside(cut, prefix)))
		default:
			cidr.Except = append(cidr.Except, cut)
		}
	}
	cidr.Except = syntax.Disjoint(cidr.Except)
	return cidr, ok
}

func (r *reader) block(value string, path *field.Path) (netip.Prefix, bool) {
	prefix, err := syntax.Block(value, path)
	return prefix, err == nil || r.fail(err)
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
