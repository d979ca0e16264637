package peers

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// selects is a selector for the pod of a name; "" selects every pod.
func selects(app string) metav1.LabelSelector {
	if app == "" {
		return metav1.LabelSelector{}
	}
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// allows is a rule for one peer and one port.
func allows(namespace, app string, port int32) networkingv1.NetworkPolicyIngressRule {
	peer, number, protocol := selects(app), intstr.FromInt32(port), corev1.ProtocolTCP
	return networkingv1.NetworkPolicyIngressRule{
		From: []networkingv1.NetworkPolicyPeer{{PodSelector: &peer, NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}}},
		Ports: []networkingv1.NetworkPolicyPort{{Protocol: &protocol, Port: &number}},
	}
}

// policy makes an ingress policy; without rules it denies.
func (w *world) policy(ctx context.Context, namespace, name string, subject metav1.LabelSelector, rules ...networkingv1.NetworkPolicyIngressRule) error {
	object := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: subject, Ingress: rules, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}}}
	if _, err := w.client.NetworkingV1().NetworkPolicies(namespace).Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make policy %s: %w", name, err)
	}
	return nil
}

func (w *world) deletePolicy(ctx context.Context, name string) error {
	if err := w.client.NetworkingV1().NetworkPolicies(benchSpace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete policy %s: %w", name, err)
	}
	return nil
}

// growTo has n policies select the target, when from do so already: the first is
// for the client, the last for the canary on a port of its own, so that it tells
// when all have arrived, and the rest each have another peer and port.
func (w *world) growTo(ctx context.Context, from, n int) error {
	if n == 0 {
		return nil
	}
	if from == 0 {
		if err := w.policy(ctx, benchSpace, "client", selects("target"), allows(benchSpace, "client", servicePort)); err != nil {
			return err
		}
	}
	if err := w.addMany(ctx, max(from, 1), n-1); err != nil {
		return err
	}
	return w.policy(ctx, benchSpace, fmt.Sprintf("canary-%d", n), selects("target"), allows(benchSpace, "canary", int32(canaryPort(n))))
}

// canaryPort is the canary's when n policies select the target.
func canaryPort(n int) uint16 { return uint16(40000 + n) }

// addMany makes the policies of some numbers, a few at the same time.
func (w *world) addMany(ctx context.Context, from, to int) error {
	const hands = 8
	failed := make(chan error, hands)
	var working sync.WaitGroup
	for hand := range hands {
		working.Go(func() {
			for i := from + hand; i < to; i += hands {
				if err := w.policy(ctx, benchSpace, fmt.Sprintf("many-%d", i), selects("target"), allows(otherSpace, other(i), int32(10000+i))); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	working.Wait()
	close(failed)
	return <-failed
}

// clear removes every policy of the measurements.
func (w *world) clear(ctx context.Context) error {
	if err := w.client.NetworkingV1().NetworkPolicies(benchSpace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("delete policies: %w", err)
	}
	return nil
}
