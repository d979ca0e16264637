package gen

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/intstr"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// read takes a policy through its API object, as a user writes it.
func read(p *policy.Policy) *policy.Policy {
	back, errs := k8s.Read(NetworkPolicy(p))
	if len(errs) > 0 {
		panic(fmt.Sprintf("policy %s does not pass its own reader: %v", p.Ref, errs.ToAggregate()))
	}
	return back
}

// NetworkPolicy is the object that a policy of the Kubernetes dialect is read
// from.
func NetworkPolicy(p *policy.Policy) *networkingv1.NetworkPolicy {
	object := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Ref.Name},
	}
	object.Spec.PodSelector = *labelSelector(p.Subject.Pods)
	if p.Ingress != nil {
		object.Spec.PolicyTypes = append(object.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		for _, r := range p.Ingress.Rules {
			object.Spec.Ingress = append(object.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peersOf(r), Ports: portsOf(r)})
		}
	}
	if p.Egress != nil {
		object.Spec.PolicyTypes = append(object.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		for _, r := range p.Egress.Rules {
			object.Spec.Egress = append(object.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peersOf(r), Ports: portsOf(r)})
		}
	}
	return object
}

func peersOf(r policy.Rule) []networkingv1.NetworkPolicyPeer {
	var peers []networkingv1.NetworkPolicyPeer
	for _, p := range r.Peers {
		var peer networkingv1.NetworkPolicyPeer
		switch {
		case p.CIDR != nil:
			peer.IPBlock = &networkingv1.IPBlock{CIDR: p.CIDR.Prefix.String()}
			for _, e := range p.CIDR.Except {
				peer.IPBlock.Except = append(peer.IPBlock.Except, e.String())
			}
		case p.Pods.Namespace != "":
			peer.PodSelector = labelSelector(p.Pods.Pods)
		default:
			peer.NamespaceSelector = labelSelector(p.Pods.Namespaces)
			if p.Pods.Pods != nil {
				peer.PodSelector = labelSelector(p.Pods.Pods)
			}
		}
		peers = append(peers, peer)
	}
	return peers
}

func portsOf(r policy.Rule) []networkingv1.NetworkPolicyPort {
	var ports []networkingv1.NetworkPolicyPort
	for _, p := range r.Ports {
		protocol := corev1.Protocol(p.Protocol.String())
		port := networkingv1.NetworkPolicyPort{Protocol: &protocol}
		switch {
		case p.Name != "":
			name := intstr.FromString(p.Name)
			port.Port = &name
		case p.From > 0:
			from, to := intstr.FromInt32(int32(p.From)), int32(p.To)
			port.Port = &from
			if p.To != p.From {
				port.EndPort = &to
			}
		}
		ports = append(ports, port)
	}
	return ports
}

var operators = map[selection.Operator]metav1.LabelSelectorOperator{
	selection.Equals: metav1.LabelSelectorOpIn, selection.DoubleEquals: metav1.LabelSelectorOpIn, selection.In: metav1.LabelSelectorOpIn,
	selection.NotEquals: metav1.LabelSelectorOpNotIn, selection.NotIn: metav1.LabelSelectorOpNotIn,
	selection.Exists: metav1.LabelSelectorOpExists, selection.DoesNotExist: metav1.LabelSelectorOpDoesNotExist,
}

func labelSelector(s policy.Selector) *metav1.LabelSelector {
	object := &metav1.LabelSelector{}
	if s == nil {
		return object
	}
	requirements, _ := s.(labels.Selector).Requirements()
	for _, r := range requirements {
		object.MatchExpressions = append(object.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: r.Key(), Operator: operators[r.Operator()], Values: r.ValuesUnsorted(),
		})
	}
	return object
}
