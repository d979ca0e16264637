package gen

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/clusternp"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func (g *generator) clusterNetworkPolicy(n int) *policy.Policy {
	p := &v1alpha2.ClusterNetworkPolicy{}
	p.Name = fmt.Sprintf("policy-%d", n)
	p.Spec.Tier = one(g, v1alpha2.AdminTier, v1alpha2.AdminTier, v1alpha2.BaselineTier)
	p.Spec.Priority = one[int32](g, 1, 1, 5, 1000)
	p.Spec.Subject.Namespaces, p.Spec.Subject.Pods = g.clusterPods()
	direction := g.IntN(3)
	for range 1 + g.IntN(3) {
		action := one(g, v1alpha2.ClusterNetworkPolicyRuleActionAccept, v1alpha2.ClusterNetworkPolicyRuleActionDeny, v1alpha2.ClusterNetworkPolicyRuleActionPass)
		if direction != 0 {
			p.Spec.Ingress = append(p.Spec.Ingress, v1alpha2.ClusterNetworkPolicyIngressRule{
				Action: action, From: g.clusterSources(), Protocols: g.clusterProtocols(true),
			})
		}
		if direction != 1 {
			p.Spec.Egress = append(p.Spec.Egress, g.clusterEgress(action))
		}
	}
	return understood(clusternp.Read(p))
}

// clusterPods are all pods of some namespaces, or some of them.
func (g *generator) clusterPods() (*metav1.LabelSelector, *v1alpha2.NamespacedPod) {
	namespaces := labelSelector(g.selector("env", "team"))
	if g.in(2) {
		return namespaces, nil
	}
	return nil, &v1alpha2.NamespacedPod{NamespaceSelector: *namespaces, PodSelector: *labelSelector(g.selector("app", "role", "team"))}
}

func (g *generator) clusterSources() []v1alpha2.ClusterNetworkPolicyIngressPeer {
	var peers []v1alpha2.ClusterNetworkPolicyIngressPeer
	for range 1 + g.IntN(3) {
		namespaces, pods := g.clusterPods()
		peers = append(peers, v1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: namespaces, Pods: pods})
	}
	return peers
}

// clusterEgress has no names of ports where a peer may be no pod.
func (g *generator) clusterEgress(action v1alpha2.ClusterNetworkPolicyRuleAction) v1alpha2.ClusterNetworkPolicyEgressRule {
	r := v1alpha2.ClusterNetworkPolicyEgressRule{Action: action}
	onlyPods := true
	for range 1 + g.IntN(3) {
		var peer v1alpha2.ClusterNetworkPolicyEgressPeer
		switch g.IntN(4) {
		case 0:
			peer.Nodes, onlyPods = labelSelector(g.selector("zone")), false
		case 1:
			peer.Networks, onlyPods = []v1alpha2.CIDR{v1alpha2.CIDR(one(g, blocks...))}, false
		default:
			peer.Namespaces, peer.Pods = g.clusterPods()
		}
		r.To = append(r.To, peer)
	}
	r.Protocols = g.clusterProtocols(onlyPods)
	return r
}

func (g *generator) clusterProtocols(names bool) []v1alpha2.ClusterNetworkPolicyProtocol {
	var protocols []v1alpha2.ClusterNetworkPolicyProtocol
	for range g.IntN(4) {
		var p v1alpha2.ClusterNetworkPolicyProtocol
		port := &v1alpha2.Port{Number: int32(one(g, portNumbers...))}
		if i := g.IntN(len(portNumbers) - 1); g.in(4) {
			sorted := slices.Sorted(slices.Values(portNumbers))
			port = &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: int32(sorted[i]), End: int32(sorted[i+1])}}
		}
		protocol := g.protocol()
		switch {
		case names && g.in(4):
			p.DestinationNamedPort = one(g, portNames...)
		case protocol == traffic.TCP:
			p.TCP = &v1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}
		case protocol == traffic.UDP:
			p.UDP = &v1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}
		default:
			p.SCTP = &v1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}
		}
		protocols = append(protocols, p)
	}
	return protocols
}
