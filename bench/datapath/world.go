package main

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// namespace is where the client, the server and their policies are.
const namespace = "bench"

// minPolicies are the policies of the client and the server.
const minPolicies = 3

// maxPolicies have a port each, from firstPort on.
const (
	firstPort   = 10_000
	maxPolicies = 50_000
)

// Ports of the server.
const (
	tcpPort = 5001
	udpPort = 5002
)

// newWorld is a large cluster with the client and the server in it. Both are
// isolated in both directions, and may reach each other by exactly what the
// workloads use.
func newWorld(pods, policies int) *gen.World {
	return withEnds(gen.Large(gen.Source(1, 0), pods-2, policies-minPolicies, 0))
}

// newSelectedWorld is the same with nearly all policies on the server, each with
// a port and the replicas of an app of its own.
func newSelectedWorld(pods, policies int) *gen.World {
	w := withEnds(gen.Large(gen.Source(1, 0), pods-2, 0, 0))
	namespaces := len(w.Snapshot.Namespaces) - 1
	for n := range policies - minPolicies {
		p := newPolicy(fmt.Sprintf("server-%d", n), pick("server"))
		app := labels.Set{"app": fmt.Sprintf("app-%d", n/namespaces%10)}
		p.Ingress = allow(policy.PodSelector{Namespace: fmt.Sprintf("ns-%d", n%namespaces), Pods: labels.SelectorFromSet(app)})
		p.Ingress.Rules[0].Ports = []policy.Port{{Protocol: traffic.TCP, From: uint16(firstPort + n), To: uint16(firstPort + n)}}
		w.SetPolicy(p)
	}
	return w
}

// withEnds adds the client, the server and their policies.
func withEnds(w *gen.World) *gen.World {
	w.SetNamespace(&cluster.Namespace{Name: namespace, Labels: map[string]string{cluster.NamespaceNameLabel: namespace}})
	for app, addr := range map[string]netip.Addr{"client": clientAddr, "server": serverAddr} {
		w.SetPod(&cluster.Pod{
			Name: cluster.Name{Namespace: namespace, Name: app}, Node: node,
			Addrs: []netip.Addr{addr}, Labels: map[string]string{"app": app},
		})
	}
	deny := newPolicy("deny", policy.PodSelector{Namespace: namespace})
	deny.Ingress, deny.Egress = &policy.Rules{Isolates: true}, &policy.Rules{Isolates: true}
	out := newPolicy("client", pick("client"))
	out.Egress = allow(pick("server"))
	in := newPolicy("server", pick("server"))
	in.Ingress = allow(pick("client"))
	for _, p := range []*policy.Policy{deny, out, in} {
		w.SetPolicy(p)
	}
	return w
}

func newPolicy(name string, subject policy.PodSelector) *policy.Policy {
	return &policy.Policy{
		Ref:  policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: namespace, Name: name},
		Tier: policy.NetworkPolicyTier.Name, Order: policy.NetworkPolicyOrder, Subject: subject,
	}
}

func pick(app string) policy.PodSelector {
	return policy.PodSelector{Namespace: namespace, Pods: labels.SelectorFromSet(labels.Set{"app": app})}
}

func allow(peer policy.PodSelector) *policy.Rules {
	return &policy.Rules{Isolates: true, Rules: []policy.Rule{{
		Action: policy.Allow, Peers: []policy.Peer{{Pods: &peer}},
		Ports: []policy.Port{
			{Protocol: traffic.TCP, From: tcpPort, To: tcpPort},
			{Protocol: traffic.UDP, From: udpPort, To: udpPort},
		},
	}}}
}
