package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
)

// change is a kind of change that the node's tables follow. prepare is what has
// to be there before, without an effect on the tables.
type change struct {
	name            string
	target          time.Duration // of the slowest hundredth; zero: none
	times           int           // zero: as often as is usual
	prepare, happen func(ctx context.Context, b *bench, n int) error
}

const (
	podTarget    = 20 * time.Millisecond
	policyTarget = 100 * time.Millisecond
)

var changes = []change{
	{"pod added on the node", podTarget, 0, newPod(thisNode, "app-2"), getsAddress(thisNode)},
	{"pod added elsewhere", podTarget, 0, newPod("node-2", "app-1"), getsAddress("node-2")},
	{"label changed on the node", podTarget, 0, nil, relabelPod(thisNode, "app-0")},
	{"label changed elsewhere", podTarget, 0, nil, relabelPod("node-2", "app-2")},
	{"policy edited: a port", policyTarget, 0, nil, func(ctx context.Context, b *bench, n int) error {
		return b.editIn(ctx, n, func(s *networkingv1.NetworkPolicySpec) {
			s.Ingress[0].Ports = []networkingv1.NetworkPolicyPort{tcp(int32(10000 + n))}
		})
	}},
	{"policy edited: peers, 500 pods", policyTarget, 0, nil, func(ctx context.Context, b *bench, n int) error {
		return b.editIn(ctx, n, func(s *networkingv1.NetworkPolicySpec) {
			s.Ingress[1].From[0].NamespaceSelector = labelled("team", fmt.Sprintf("team-%d", (b.world.localNamespace(n)+1+n%(teams-1))%teams))
		})
	}},
	{"namespace relabelled", 0, 0, nil, func(ctx context.Context, b *bench, n int) error {
		return label(ctx, b.client.CoreV1().Namespaces().Patch, namespaceName(n%b.world.namespaces), "team", fmt.Sprintf("team-%d", (n+7)%teams))
	}},
	{"policy edited: peers, a third of all pods", 0, 6, nil, func(ctx context.Context, b *bench, n int) error {
		return b.editIn(ctx, 1000+n, func(s *networkingv1.NetworkPolicySpec) {
			s.Ingress[0].From[0] = networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}, PodSelector: labelled("version", fmt.Sprintf("v%d", n%3))}
		})
	}},
}

// localNamespace is a namespace that the node runs a pod of.
func (w *world) localNamespace(n int) int { return w.localPod(n%w.local) % w.namespaces }

func newPodName(node string, n int) string { return fmt.Sprintf("new-%s-%d", node, n) }

// newPods are the pods of a namespace in which pods are added.
func (b *bench) newPods(n int) typed.PodInterface {
	return b.client.CoreV1().Pods(namespaceName(b.world.localNamespace(n)))
}

// newPod makes a pod that has no address yet.
func newPod(node, app string) func(context.Context, *bench, int) error {
	return func(ctx context.Context, b *bench, n int) error {
		p := b.world.newPod(n, namespaceName(b.world.localNamespace(n)), newPodName(node, n), app)
		p.Spec.NodeName, p.UID, p.CreationTimestamp = node, "", metav1.Time{}
		p.OwnerReferences = nil
		_, err := b.newPods(n).Create(ctx, p, metav1.CreateOptions{})
		return err
	}
}

// getsAddress gives a new pod its address, as a kubelet does.
func getsAddress(node string) func(context.Context, *bench, int) error {
	return func(ctx context.Context, b *bench, n int) error {
		address := b.world.pods + 2*n
		if node == thisNode {
			address++
		}
		body, err := json.Marshal(map[string]any{"status": running(b.world.address(address), b.world.made)})
		if err != nil {
			return err
		}
		_, err = b.newPods(n).Patch(ctx, newPodName(node, n), types.MergePatchType, body, metav1.PatchOptions{}, "status")
		return err
	}
}

func relabelPod(node, app string) func(context.Context, *bench, int) error {
	return func(ctx context.Context, b *bench, n int) error {
		return label(ctx, b.newPods(n).Patch, newPodName(node, n), "app", app)
	}
}

// editIn edits the policy that lets pods into a namespace of the node's pods.
func (b *bench) editIn(ctx context.Context, n int, edit func(*networkingv1.NetworkPolicySpec)) error {
	policies := b.client.NetworkingV1().NetworkPolicies(namespaceName(b.world.localNamespace(n)))
	p, err := policies.Get(ctx, "policy-0", metav1.GetOptions{})
	if err != nil {
		return err
	}
	edit(&p.Spec)
	_, err = policies.Update(ctx, p, metav1.UpdateOptions{})
	return err
}

// label sets one label by a patch.
func label[T any](ctx context.Context, patch func(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error), name, key, value string) error {
	body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, key, value)
	_, err := patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
	return err
}

// patience is how long the agent may take for one change before the bench gives up.
const patience = 30 * time.Second

// latencies are how long after each API call's return the kernel had the change,
// sorted; a change that the kernel has before the call returns took no time.
func (b *bench) latencies(ctx context.Context, c change) ([]time.Duration, error) {
	times := c.times
	if times == 0 {
		times = b.times
	}
	var found []time.Duration
	for n := range times {
		if c.prepare != nil {
			if err := c.prepare(ctx, b, n); err != nil {
				return nil, fmt.Errorf("prepare %s: %w", c.name, err)
			}
			if err := b.kernel.quiet(ctx, 3*time.Millisecond); err != nil {
				return nil, err
			}
		}
		d, err := b.latency(ctx, func() error { return c.happen(ctx, b, n) })
		if err != nil {
			return nil, fmt.Errorf("%s, the %d. time: %w", c.name, n+1, err)
		}
		found = append(found, d)
	}
	slices.Sort(found)
	return found, nil
}

func (b *bench) latency(ctx context.Context, happen func() error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := time.Now()
	if err := happen(); err != nil {
		return 0, err
	}
	returned := time.Now()
	at, err := b.kernel.after(ctx, before)
	return max(0, at.Sub(returned)), err
}
