package cilium

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// draft is a rule as it was written, whatever its direction and action. Absent
// lists are nil.
type draft struct {
	path          *field.Path
	name          string // "ingressDeny[0]"
	ingress, deny bool

	endpoints, nodes []metav1.LabelSelector
	requires         []string
	cidrs            []string
	cidrRules        []CIDRRule
	entities         []string
	services         []Service
	groups           []Group
	fqdns            []FQDNSelector

	ports          []PortRule
	icmps          []ICMPRule
	authentication *Authentication
}

// peersField is the path of one of the lists of other ends.
func (d *draft) peersField(name string) *field.Path {
	if d.ingress {
		return d.path.Child("from" + name)
	}
	return d.path.Child("to" + name)
}

// drafts of a list, filled one by one.
func drafts[T any](r *reader, name string, list []T, fill func(*T, *draft)) []draft {
	var all []draft
	for i := range list {
		d := draft{path: r.spec.Child(name).Index(i), name: fmt.Sprintf("%s[%d]", name, i)}
		fill(&list[i], &d)
		all = append(all, d)
	}
	return all
}

func (r *reader) ingressDrafts(spec *Rule) []draft {
	allow := drafts(r, "ingress", spec.Ingress, func(from *IngressRule, d *draft) {
		from.fill(d)
		d.ports, d.icmps, d.authentication = from.ToPorts, from.ICMPs, from.Authentication
	})
	return append(allow, drafts(r, "ingressDeny", spec.IngressDeny, func(from *IngressDenyRule, d *draft) {
		from.fill(d)
		d.deny, d.ports, d.icmps = true, plain(from.ToPorts), from.ICMPs
	})...)
}

func (p *IngressPeers) fill(d *draft) {
	d.ingress = true
	d.endpoints, d.nodes, d.requires = p.FromEndpoints, p.FromNodes, p.FromRequires
	d.cidrs, d.cidrRules = p.FromCIDR, p.FromCIDRSet
	d.entities, d.groups = p.FromEntities, p.FromGroups
}

func (r *reader) egressDrafts(spec *Rule) []draft {
	allow := drafts(r, "egress", spec.Egress, func(from *EgressRule, d *draft) {
		from.fill(d)
		d.ports, d.icmps, d.authentication, d.fqdns = from.ToPorts, from.ICMPs, from.Authentication, from.ToFQDNs
	})
	return append(allow, drafts(r, "egressDeny", spec.EgressDeny, func(from *EgressDenyRule, d *draft) {
		from.fill(d)
		d.deny, d.ports, d.icmps = true, plain(from.ToPorts), from.ICMPs
	})...)
}

func (p *EgressPeers) fill(d *draft) {
	d.endpoints, d.nodes, d.requires = p.ToEndpoints, p.ToNodes, p.ToRequires
	d.cidrs, d.cidrRules = p.ToCIDR, p.ToCIDRSet
	d.entities, d.groups, d.services = p.ToEntities, p.ToGroups, p.ToServices
}

// plain are ports of which nothing more is asked; nil for an absent list alone.
func plain(list []PortDenyRule) []PortRule {
	if list == nil {
		return nil
	}
	rules := make([]PortRule, len(list))
	for i, p := range list {
		rules[i].Ports = p.Ports
	}
	return rules
}
