package clusternp

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func alpha1Pods(p *v1alpha1.NamespacedPod) *pods {
	if p == nil {
		return nil
	}
	return &pods{namespaces: &p.NamespaceSelector, pods: &p.PodSelector}
}

func adminIngress(rules []v1alpha1.AdminNetworkPolicyIngressRule) []rule {
	var drafts []rule
	for _, r := range rules {
		drafts = append(drafts, rule{name: r.Name, action: string(r.Action), peers: alpha1From(r.From), ports: alpha1Ports(r.Ports)})
	}
	return drafts
}

func baselineIngress(rules []v1alpha1.BaselineAdminNetworkPolicyIngressRule) []rule {
	var drafts []rule
	for _, r := range rules {
		drafts = append(drafts, rule{name: r.Name, action: string(r.Action), peers: alpha1From(r.From), ports: alpha1Ports(r.Ports)})
	}
	return drafts
}

func alpha1From(from []v1alpha1.AdminNetworkPolicyIngressPeer) []peer {
	var peers []peer
	for _, p := range from {
		peers = append(peers, peer{namespaces: p.Namespaces, pods: alpha1Pods(p.Pods)})
	}
	return peers
}

func adminEgress(rules []v1alpha1.AdminNetworkPolicyEgressRule) []rule {
	var drafts []rule
	for _, r := range rules {
		d := rule{name: r.Name, action: string(r.Action), ports: alpha1Ports(r.Ports)}
		for _, p := range r.To {
			d.peers = append(d.peers, peer{
				namespaces: p.Namespaces, pods: alpha1Pods(p.Pods), nodes: p.Nodes,
				networks: texts(p.Networks), domainNames: texts(p.DomainNames),
			})
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func baselineEgress(rules []v1alpha1.BaselineAdminNetworkPolicyEgressRule) []rule {
	var drafts []rule
	for _, r := range rules {
		d := rule{name: r.Name, action: string(r.Action), ports: alpha1Ports(r.Ports)}
		for _, p := range r.To {
			d.peers = append(d.peers, peer{
				namespaces: p.Namespaces, pods: alpha1Pods(p.Pods), nodes: p.Nodes, networks: texts(p.Networks),
			})
		}
		drafts = append(drafts, d)
	}
	return drafts
}

func alpha1Ports(list *[]v1alpha1.AdminNetworkPolicyPort) []port {
	if list == nil {
		return nil
	}
	ports := make([]port, len(*list))
	for i := range *list {
		ports[i] = (*alpha1Port)(&(*list)[i])
	}
	return ports
}

// alpha1Port is a v1alpha1 port.
type alpha1Port v1alpha1.AdminNetworkPolicyPort

func (p *alpha1Port) named() bool { return p.NamedPort != nil }

func (p *alpha1Port) read(r *reader, path *field.Path) (policy.Port, bool) {
	var given []string
	if p.PortNumber != nil {
		given = append(given, "portNumber")
	}
	if p.PortRange != nil {
		given = append(given, "portRange")
	}
	if p.named() {
		given = append(given, "namedPort")
	}
	if !r.one(path, given, "portNumber, portRange or namedPort") {
		return policy.Port{}, false
	}
	path = path.Child(given[0])
	switch {
	case p.named() && *p.NamedPort == "":
		return policy.Port{}, r.fail(field.Required(path, "give the name of a container port"))
	case p.named():
		return policy.Port{Name: *p.NamedPort}, true
	case p.PortNumber != nil:
		chosen, ok := r.protocol(p.PortNumber.Protocol, path)
		chosen, inRange := r.number(chosen, p.PortNumber.Port, path.Child("port"))
		return chosen, ok && inRange
	}
	chosen, ok := r.protocol(p.PortRange.Protocol, path)
	chosen, inRange := r.span(chosen, p.PortRange.Start, p.PortRange.End, path)
	return chosen, ok && inRange
}

var protocols = map[corev1.Protocol]traffic.Protocol{
	"":                  traffic.TCP,
	corev1.ProtocolTCP:  traffic.TCP,
	corev1.ProtocolUDP:  traffic.UDP,
	corev1.ProtocolSCTP: traffic.SCTP,
}

func (r *reader) protocol(name corev1.Protocol, path *field.Path) (policy.Port, bool) {
	protocol, ok := protocols[name]
	if !ok {
		r.fail(field.NotSupported(path.Child("protocol"), name, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
	}
	return policy.Port{Protocol: protocol}, ok
}
