package calico

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/calico/selector"
	"github.com/bulkhead-dev/bulkhead/policy/syntax"
)

// entity is what a rule asks of one end, read.
type entity struct {
	picks         *selector.Selector // nil: it does not ask
	namespace     string             // of what it picks; empty: any
	leaves        *selector.Selector // nil: it leaves nobody out
	services      *policy.ServiceSelector
	nets, notNets []netip.Prefix
}

const mostNets = 256

func (w *ruleReader) entity(e *EntityRule, path *field.Path) entity {
	read := entity{picks: w.picks(e, path), services: w.services(e, path)}
	if read.picks != nil && e.NamespaceSelector == "" {
		read.namespace = w.namespace
	}
	if e.NotSelector != "" {
		read.leaves = w.part(e.NotSelector, path.Child("notSelector"), endpoints)
	}
	read.nets = w.nets(e.Nets, path.Child("nets"))
	read.notNets = w.nets(e.NotNets, path.Child("notNets"))
	return read
}

// part reads a selector that the rule cannot do without.
func (w *ruleReader) part(text string, path *field.Path, of scope) *selector.Selector {
	s, ok := w.selector(text, path, of)
	if !ok {
		w.wrong = true
		return selector.All()
	}
	return s
}

// picks joins what an entity asks of endpoints. As soon as it asks anything, or
// leaves endpoints out, a namespace's policy means those of its own namespace,
// unless the entity says which.
func (w *ruleReader) picks(e *EntityRule, path *field.Path) *selector.Selector {
	var parts []*selector.Selector
	if e.ServiceAccounts != nil {
		parts = append(parts, w.accounts(e.ServiceAccounts, path.Child("serviceAccounts")))
	}
	if e.Selector != "" {
		parts = append(parts, w.part(e.Selector, path.Child("selector"), endpoints))
	}
	if e.NamespaceSelector != "" {
		parts = append(parts, w.part(e.NamespaceSelector, path.Child("namespaceSelector"), entityNamespaces))
	}
	if len(parts) == 0 && (w.namespace == "" || e.NotSelector == "") {
		return nil
	}
	return selector.And(parts...)
}

func (w *ruleReader) accounts(m *ServiceAccountMatch, path *field.Path) *selector.Selector {
	parts := []*selector.Selector{isPod}
	if len(m.Names) > 0 {
		parts = append(parts, selector.In(policy.AccountKey, m.Names...))
	}
	for i, name := range m.Names {
		if slices.Index(m.Names, name) < i {
			w.fail(field.Duplicate(path.Child("names").Index(i), name))
		}
	}
	if m.Selector != "" {
		parts = append(parts, w.part(m.Selector, path.Child("selector"), accounts))
	}
	return selector.And(parts...)
}

// services is the service that an entity names, at whose ports a destination is.
// Only the other end of a connection may be named so.
func (w *ruleReader) services(e *EntityRule, path *field.Path) *policy.ServiceSelector {
	if e.Services == nil {
		return nil
	}
	destination := e == &w.from.Destination
	w.checkServices(e, path, destination)
	if destination == w.ingress {
		w.mistake(field.Forbidden(path.Child("services"), "is for the source of ingress rules and the destination of egress rules"))
		return nil
	}
	s := &policy.ServiceSelector{Namespace: e.Services.Namespace, Name: e.Services.Name, Ports: destination}
	if s.Namespace == "" {
		s.Namespace = w.namespace
	}
	return s
}

func (w *ruleReader) checkServices(e *EntityRule, path *field.Path, destination bool) {
	if e.Services.Name == "" {
		w.mistake(field.Required(path.Child("services", "name"), "give the service's name"))
	}
	if e.Services.Namespace == "" && w.namespace == "" {
		w.mistake(field.Required(path.Child("services", "namespace"), "a cluster-wide policy must give the service's namespace"))
	}
	for name, given := range map[string]bool{
		"namespaceSelector": e.NamespaceSelector != "", "serviceAccounts": e.ServiceAccounts != nil,
		"selector": e.Selector != "", "notSelector": e.NotSelector != "",
		"nets": len(e.Nets) > 0, "notNets": len(e.NotNets) > 0,
		"ports":    len(e.Ports) > 0 && destination,
		"notPorts": len(e.NotPorts) > 0 && destination,
	} {
		if given {
			w.mistake(field.Forbidden(path.Child(name), "cannot be given along with services: make two rules"))
		}
	}
}

// nets reads blocks or single addresses, and keeps the rule to their families.
func (w *ruleReader) nets(list []string, path *field.Path) []netip.Prefix {
	if len(list) > mostNets {
		w.fail(field.TooMany(path, len(list), mostNets))
	}
	has := map[bool]bool{}
	var nets []netip.Prefix
	for i, text := range list {
		prefix, err := netOf(text, path.Index(i))
		if err != nil {
			w.mistake(err)
			continue
		}
		if slices.Index(list, text) < i {
			w.fail(field.Duplicate(path.Index(i), text))
		}
		is4 := prefix.Addr().Is4()
		if v := w.from.IPVersion; v != nil && *v != map[bool]int{true: 4, false: 6}[is4] {
			w.fail(field.Invalid(path.Index(i), text, "must be of the rule's ipVersion"))
		}
		has[is4] = true
		nets = append(nets, prefix)
	}
	if len(nets) > 0 {
		w.families[true], w.families[false] = w.families[true] && has[true], w.families[false] && has[false]
	}
	if has[true] && has[false] {
		w.fail(field.Invalid(path, list, "must not have IPv4 and IPv6 blocks in one rule: make two rules"))
	}
	return nets
}

func netOf(text string, path *field.Path) (netip.Prefix, *field.Error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" && !addr.Is4In6() {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return syntax.Block(text, path)
}

// peers are the model's peers of an entity, which any of them matches; any: it
// does not ask for anything.
func (w *ruleReader) peers(e entity) (peers []policy.Peer, any bool) {
	if e.services != nil {
		return []policy.Peer{{Services: e.services}}, false
	}
	base := []policy.Peer{{}}
	if e.picks != nil {
		base = e.picked()
	}
	if len(e.nets) > 0 {
		base = within(base, e.nets)
	}
	var not []policy.Peer
	if e.leaves != nil {
		not = append(not, policy.Peer{Pods: &policy.PodSelector{Pods: unlessAll(e.leaves)}}, networksPeer(e.leaves))
	}
	for _, n := range e.notNets {
		not = append(not, policy.Peer{CIDR: &policy.CIDR{Prefix: n}})
	}
	if e.picks == nil && len(e.nets)+len(not) == 0 {
		return nil, true
	}
	for i := range base {
		base[i].Not = not
	}
	return base, false
}

// within are the peers of which each lies in one of the blocks.
func within(base []policy.Peer, nets []netip.Prefix) []policy.Peer {
	var all []policy.Peer
	for _, p := range base {
		for _, n := range nets {
			block := policy.Peer{CIDR: &policy.CIDR{Prefix: n}}
			if p.Pods == nil && p.Networks == nil {
				all = append(all, block)
				continue
			}
			p.And = []policy.Peer{block}
			all = append(all, p)
		}
	}
	return all
}

// picked are pods and sets of networks.
func (e entity) picked() []policy.Peer {
	pods := policy.Peer{Pods: &policy.PodSelector{Namespace: e.namespace, Pods: unlessAll(e.picks)}}
	networks := e.picks
	if e.namespace != "" {
		networks = selector.And(networks, selector.In(policy.NamespaceKey, e.namespace))
	}
	return []policy.Peer{pods, networksPeer(networks)}
}

func networksPeer(s *selector.Selector) policy.Peer {
	return policy.Peer{Networks: &policy.NetworkSelector{Dialect: policy.Calico, Networks: unlessAll(s)}}
}

// unlessAll is nil for a selector that picks everything.
func unlessAll(s *selector.Selector) policy.Selector {
	if s.PicksAll() {
		return nil
	}
	return s
}
