package cilium

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

var (
	everything4 = netip.MustParsePrefix("0.0.0.0/0")
	everything6 = netip.MustParsePrefix("::/0")
)

// outside is a block without the cluster's own addresses.
func outside(p netip.Prefix, except ...netip.Prefix) policy.Peer {
	return policy.Peer{CIDR: &policy.CIDR{Prefix: p, Except: except}, Not: inCluster}
}

// readCIDRs reads blocks or single addresses.
func (w *ruleReader) readCIDRs(path *field.Path) {
	for i, text := range w.cidrs {
		prefix, err := blockOrAddress(text, path.Index(i))
		if err != nil {
			w.mistake(err)
			continue
		}
		w.peers = append(w.peers, outside(prefix))
	}
}

func blockOrAddress(text string, path *field.Path) (netip.Prefix, *field.Error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" && !addr.Is4In6() {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return syntax.Block(text, path)
}

func (w *ruleReader) readCIDRRules(path *field.Path) {
	for i := range w.cidrRules {
		if peer, ok := w.cidrRule(&w.cidrRules[i], path.Index(i)); ok {
			w.peers = append(w.peers, peer)
		} else {
			w.wrong = true
		}
	}
}

func (w *ruleReader) cidrRule(c *CIDRRule, path *field.Path) (policy.Peer, bool) {
	given := 0
	for _, is := range []bool{c.CIDR != "", c.CIDRGroupRef != "", c.CIDRGroupSelector != nil} {
		if is {
			given++
		}
	}
	if given == 0 {
		return policy.Peer{}, w.fail(field.Required(path, "give one of cidr, cidrGroupRef or cidrGroupSelector"))
	}
	if given > 1 {
		return policy.Peer{}, w.fail(field.Forbidden(path, "must have exactly one of cidr, cidrGroupRef and cidrGroupSelector: make them entries of their own"))
	}
	if c.CIDR != "" {
		return w.blockRule(c, path)
	}
	except, ok := w.excepts(c.Except, path.Child("except"))
	if !ok {
		return policy.Peer{}, false
	}
	peer, ok := w.groupRule(c, path)
	for _, e := range except {
		peer.Not = append(peer.Not, policy.Peer{CIDR: &policy.CIDR{Prefix: e}})
	}
	return peer, ok
}

func (w *ruleReader) excepts(list []string, path *field.Path) (read []netip.Prefix, ok bool) {
	ok = true
	for i, text := range list {
		prefix, err := syntax.Block(text, path.Index(i))
		if err != nil {
			ok = w.fail(err)
			continue
		}
		read = append(read, prefix)
	}
	return syntax.Disjoint(read), ok
}

func (w *ruleReader) blockRule(c *CIDRRule, path *field.Path) (policy.Peer, bool) {
	block, err := syntax.Block(c.CIDR, path.Child("cidr"))
	if err != nil {
		return policy.Peer{}, w.fail(err)
	}
	except, ok := w.excepts(c.Except, path.Child("except"))
	for _, e := range except {
		if e.Bits() < block.Bits() || !block.Contains(e.Addr()) {
			ok = w.fail(field.Invalid(path.Child("except"), e.String(), fmt.Sprintf("must lie in cidr %s", block)))
		}
	}
	return outside(block, except...), ok
}

// groupRule picks by sets of networks. An address may lie in several, each of which
// may meet another requirement.
func (w *ruleReader) groupRule(c *CIDRRule, path *field.Path) (policy.Peer, bool) {
	peer := policy.Peer{Not: slices.Clone(inCluster)}
	group := func(s policy.NetworkSelector) policy.Peer {
		s.Dialect = policy.Cilium
		return policy.Peer{Networks: &s}
	}
	if c.CIDRGroupSelector == nil {
		peer.And = []policy.Peer{group(policy.NetworkSelector{Name: c.CIDRGroupRef})}
		return peer, true
	}
	path = path.Child("cidrGroupSelector")
	asked, ok := w.selector(c.CIDRGroupSelector, path)
	for _, q := range asked {
		positive, none := q, false
		switch q.operator {
		case metav1.LabelSelectorOpNotIn:
			positive.operator, none = metav1.LabelSelectorOpIn, true
		case metav1.LabelSelectorOpDoesNotExist:
			positive.operator, none = metav1.LabelSelectorOpExists, true
		}
		s, valid := w.nodeSelector(requirements{positive}, path)
		ok = ok && valid
		if none {
			peer.Not = append(peer.Not, group(policy.NetworkSelector{Networks: s}))
		} else {
			peer.And = append(peer.And, group(policy.NetworkSelector{Networks: s}))
		}
	}
	return peer, ok
}

// ReadCIDRGroup turns a CiliumCIDRGroup into the model. The networks are nil if they
// have no name.
func ReadCIDRGroup(object *CIDRGroup) (*policy.Networks, field.ErrorList) {
	errs := validation.ValidateObjectMeta(&object.ObjectMeta, false, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	if len(errs) > 0 {
		return nil, errs
	}
	n := &policy.Networks{
		Ref:    policy.Ref{Dialect: policy.Cilium, Kind: CIDRGroupKind, Name: object.Name},
		Labels: object.Labels,
	}
	path := field.NewPath("spec", "externalCIDRs")
	if object.Spec.ExternalCIDRs == nil {
		errs = append(errs, field.Required(path, "list the blocks; [] is none"))
	}
	for i, text := range object.Spec.ExternalCIDRs {
		prefix, err := syntax.Block(text, path.Index(i))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n.Prefixes = append(n.Prefixes, prefix)
	}
	n.Prefixes = syntax.Disjoint(n.Prefixes)
	return n, errs
}
