package clusternp

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func alpha2Pods(p *v1alpha2.NamespacedPod) *pods {
	if p == nil {
		return nil
	}
	return &pods{namespaces: &p.NamespaceSelector, pods: &p.PodSelector}
}

func alpha2Ingress(rules []v1alpha2.ClusterNetworkPolicyIngressRule) []rule {
	var drafts []rule
	for _, r := range rules {
		d := rule{name: r.Name, action: string(r.Action), ports: alpha2Ports(r.Protocols)}
		for _, p := range r.From {
			d.peers = append(d.peers, peer{namespaces: p.Namespaces, pods: alpha2Pods(p.Pods)})
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func alpha2Egress(rules []v1alpha2.ClusterNetworkPolicyEgressRule) []rule {
	var drafts []rule
	for _, r := range rules {
		d := rule{name: r.Name, action: string(r.Action), ports: alpha2Ports(r.Protocols)}
		for _, p := range r.To {
			d.peers = append(d.peers, peer{
				namespaces: p.Namespaces, pods: alpha2Pods(p.Pods), nodes: p.Nodes,
				networks: texts(p.Networks), domainNames: texts(p.DomainNames),
			})
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func alpha2Ports(protocols []v1alpha2.ClusterNetworkPolicyProtocol) []port {
	if protocols == nil {
		return nil
	}
	ports := make([]port, len(protocols))
	for i := range protocols {
		ports[i] = (*alpha2Port)(&protocols[i])
	}
	return ports
}

// alpha2Port is a v1alpha2 protocol.
type alpha2Port v1alpha2.ClusterNetworkPolicyProtocol

func (p *alpha2Port) named() bool { return p.DestinationNamedPort != "" }

func (p *alpha2Port) read(r *reader, path *field.Path) (policy.Port, bool) {
	var given []string
	var chosen policy.Port
	var number *v1alpha2.Port
	choose := func(name string, protocol traffic.Protocol, destination *v1alpha2.Port) {
		given, chosen.Protocol, number = append(given, name), protocol, destination
	}
	if p.TCP != nil {
		choose("tcp", traffic.TCP, p.TCP.DestinationPort)
	}
	if p.UDP != nil {
		choose("udp", traffic.UDP, p.UDP.DestinationPort)
	}
	if p.SCTP != nil {
		choose("sctp", traffic.SCTP, p.SCTP.DestinationPort)
	}
	if p.named() {
		given, chosen.Name = append(given, "destinationNamedPort"), p.DestinationNamedPort
	}
	if !r.one(path, given, "tcp, udp, sctp or destinationNamedPort") {
		return chosen, false
	}
	if p.named() {
		return chosen, true
	}
	return r.alpha2Number(chosen, number, path.Child(given[0], "destinationPort"))
}

func (r *reader) alpha2Number(chosen policy.Port, p *v1alpha2.Port, path *field.Path) (policy.Port, bool) {
	if p == nil {
		return chosen, r.fail(field.Required(path, "give a number, or for every port range: {start: 1, end: 65535}"))
	}
	var given []string
	if p.Number != 0 {
		given = append(given, "number")
	}
	if p.Range != nil {
		given = append(given, "range")
	}
	switch {
	case !r.one(path, given, "number or range"):
		return chosen, false
	case p.Range == nil:
		return r.number(chosen, p.Number, path.Child("number"))
	}
	path = path.Child("range")
	if p.Range.Start == p.Range.End {
		return chosen, r.fail(field.Invalid(path.Child("end"), p.Range.End, "must be greater than start: give one port as number"))
	}
	return r.span(chosen, p.Range.Start, p.Range.End, path)
}
