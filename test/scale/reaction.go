package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// Targets with 200 pods and 100 policies.
const (
	reactions       = 50 // of each kind
	reactionMedian  = time.Millisecond
	reactionSlowest = 10 * time.Millisecond
	smallMemory     = 50 // MiB
)

// measureReaction lets a policy allow and deny a stream of packets between two
// pods of the node in turns.
func (b *bench) measureReaction(ctx context.Context) error {
	if _, err := b.startAgent(ctx); err != nil {
		return err
	}
	// Each packet is a connection of its own; they need not live long.
	if err := b.view.Do(func() error {
		return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", []byte("1"), 0)
	}); err != nil {
		return fmt.Errorf("shorten life of tracked packets: %w", err)
	}
	server, serverAddress, err := b.attach(ctx, "server")
	if err != nil {
		return err
	}
	client, _, err := b.attach(ctx, "client")
	if err != nil {
		return err
	}
	policies := b.client.NetworkingV1().NetworkPolicies(namespaceName(0))
	if _, err := policies.Create(ctx, reactionPolicy(true), metav1.CreateOptions{}); err != nil {
		return err
	}
	stream, err := startStream(client, server, netip.AddrPortFrom(serverAddress, 7000))
	if err != nil {
		return err
	}
	defer stream.stop()
	var denials, allowances []time.Duration
	for range reactions {
		for _, allow := range []bool{false, true} {
			before := time.Now()
			if _, err := policies.Update(ctx, reactionPolicy(allow), metav1.UpdateOptions{}); err != nil {
				return err
			}
			returned := time.Now()
			if allow {
				first, err := stream.first(ctx, before)
				if err != nil {
					return err
				}
				allowances = append(allowances, max(0, first.Sub(returned)))
			} else {
				last, err := stream.last(ctx)
				if err != nil {
					return err
				}
				denials = append(denials, max(0, last.Sub(returned)))
			}
		}
	}
	b.report.reaction("a denial works", denials)
	b.report.reaction("an allowance works", allowances)
	u, err := usageOf(b.agent.Status().PID)
	if err != nil {
		return err
	}
	for what, mib := range map[string]float64{"memory": u.resident, "memory at its peak": u.peak} {
		b.report.add(what, "%.0f MiB", mib)
		b.report.judge(mib, smallMemory, "MiB")
	}
	return nil
}

func (r *report) reaction(what string, times []time.Duration) {
	slices.Sort(times)
	median, slowest := quantile(times, 0.5), times[len(times)-1]
	r.add(what+" after the API call, median", "%s ms", ms(median))
	r.judge(float64(median)/1e6, float64(reactionMedian)/1e6, "ms")
	r.add(fmt.Sprintf("%s, slowest of %d", what, len(times)), "%s ms", ms(slowest))
	r.judge(float64(slowest)/1e6, float64(reactionSlowest)/1e6, "ms")
}

func reactionPolicy(allow bool) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName(0), Name: "reaction"}}
	p.Spec.PodSelector = *labelled("app", "server")
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if allow {
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: labelled("app", "client")}}}}
	}
	return p
}

// attach makes a pod with a network.
func (b *bench) attach(ctx context.Context, app string) (view ns.View, address netip.Addr, err error) {
	if view, err = ns.New(ns.View{}, unix.CLONE_NEWNET, nil); err != nil {
		return view, address, err
	}
	port, err := b.node.Attach(view, app)
	if err != nil {
		return view, address, err
	}
	address = port.Addresses[0]
	pods := b.client.CoreV1().Pods(namespaceName(0))
	p := b.world.newPod(0, namespaceName(0), app, app)
	p.Spec.NodeName, p.UID, p.CreationTimestamp, p.OwnerReferences = thisNode, "", metav1.Time{}, nil
	if p, err = pods.Create(ctx, p, metav1.CreateOptions{}); err != nil {
		return view, address, err
	}
	p.Status = running(address.String(), b.world.made)
	p.Status.Phase = corev1.PodRunning
	_, err = pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return view, address, err
}
