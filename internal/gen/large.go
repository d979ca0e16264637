package gen

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// PerNode is how many pods a node of a large world runs.
const PerNode = 250

// Large is a cluster as companies run it: a hundred pods a namespace, 250 a node,
// spread over all nodes, several labels each, and policies of the usual kinds,
// ten to a namespace at first and then in turn. They are in the first so many
// namespaces, zero for all, in an order that begins with those that node-0 runs
// pods of.
func Large(r *rand.Rand, pods, policies, namespaces int) *World {
	g := &large{Rand: r, world: &World{Snapshot: cluster.NewSnapshot(), Set: policy.NewSet()}, namespaces: max(10, pods/100)}
	g.guarded = g.namespaces
	if namespaces > 0 {
		g.guarded = min(namespaces, g.namespaces)
	}
	for n := range g.namespaces {
		g.world.SetNamespace(g.namespace(n))
	}
	for n := range (pods + PerNode - 1) / PerNode {
		name := fmt.Sprintf("node-%d", n)
		g.world.SetNode(&cluster.Node{Name: name, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{172, 16, byte(n >> 8), byte(n)})}})
	}
	for n := range pods {
		g.world.SetPod(g.pod(n, n/PerNode))
	}
	for n := range policies {
		g.world.SetPolicy(g.policy(n))
	}
	return g.world
}

type large struct {
	*rand.Rand
	world      *World
	namespaces int
	guarded    int // namespaces with policies
}

func (g *large) namespace(n int) *cluster.Namespace {
	return &cluster.Namespace{Name: namespaceName(n), Labels: map[string]string{
		cluster.NamespaceNameLabel: namespaceName(n),
		"env":                      []string{"prod", "prod", "prod", "stage", "dev"}[g.IntN(5)],
		"team":                     fmt.Sprintf("team-%d", g.IntN(30)),
	}}
}

// pod is the n-th pod. A namespace's pods are replicas of ten apps.
func (g *large) pod(n, node int) *cluster.Pod {
	app := g.IntN(10)
	namespace := namespaceName(n * 7919 % g.namespaces)
	return &cluster.Pod{
		Name: cluster.Name{Namespace: namespace, Name: fmt.Sprintf("app-%d-%d", app, n)},
		Labels: map[string]string{
			"app":                       fmt.Sprintf("app-%d", app),
			"role":                      []string{"frontend", "backend", "worker"}[app%3],
			"app.kubernetes.io/part-of": namespace,
			"version":                   fmt.Sprintf("v%d", g.IntN(3)),
			"pod-template-hash":         fmt.Sprintf("%s-%d", namespace, app),
			"instance":                  fmt.Sprint(n),
		},
		ServiceAccount: "default",
		Node:           fmt.Sprintf("node-%d", node),
		Addrs:          []netip.Addr{netip.AddrFrom4([4]byte{10, byte(node >> 8), byte(node), byte(n % PerNode)})},
		Ports:          []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 8080}, {Name: "metrics", Protocol: traffic.TCP, Number: 9090}},
	}
}

// policy is the n-th policy: of ten kinds, ten to a namespace.
func (g *large) policy(n int) *policy.Policy {
	namespace := namespaceName(n / 10 % g.guarded * 7919 % g.namespaces)
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: namespace, Name: fmt.Sprintf("policy-%d", n)},
		Tier:    policy.NetworkPolicyTier.Name,
		Order:   policy.NetworkPolicyOrder,
		Subject: policy.PodSelector{Namespace: namespace},
	}
	app := labelled("app", fmt.Sprintf("app-%d", g.IntN(10)))
	kinds := []func(*policy.Policy){
		func(p *policy.Policy) { p.Ingress = allow(); p.Egress = allow() }, // deny everything
		func(p *policy.Policy) { p.Ingress = allow(rule(8080, pods(namespace, app))) },
		func(p *policy.Policy) { p.Subject.Pods = app; p.Ingress = allow(rule(9090, everyPod())) },
		func(p *policy.Policy) { p.Ingress = allow(rule(8080, namespacesWith("env", "prod"))) },
		func(p *policy.Policy) { p.Egress = allow(dns()) },
		func(p *policy.Policy) { p.Egress = allow(rule(443, block("0.0.0.0/0", "169.254.169.254/32"))) },
		func(p *policy.Policy) {
			p.Subject.Pods = app
			p.Egress = allow(rule(8080, pods(namespace, labelled("role", "backend"))))
		},
		func(p *policy.Policy) {
			p.Subject.Pods = app
			p.Ingress = allow(rule(8080, namespacesWith(cluster.NamespaceNameLabel, namespaceName(g.IntN(g.namespaces)))))
		},
		func(p *policy.Policy) {
			p.Egress = allow(rule(5432, block(fmt.Sprintf("172.20.%d.0/24", n%250))))
		},
		func(p *policy.Policy) {
			p.Egress = allow(rule(8080, policy.Peer{Pods: &policy.PodSelector{
				Namespaces: labelled("team", fmt.Sprintf("team-%d", g.IntN(30))), Pods: app,
			}}))
		},
	}
	kinds[n%len(kinds)](p)
	return p
}

func labelled(key, value string) policy.Selector {
	return labels.SelectorFromValidatedSet(labels.Set{key: value})
}

func allow(rules ...policy.Rule) *policy.Rules { return &policy.Rules{Isolates: true, Rules: rules} }

func rule(port uint16, peer policy.Peer) policy.Rule {
	return policy.Rule{
		Action: policy.Allow, Peers: []policy.Peer{peer},
		Ports: []policy.Port{{Protocol: traffic.TCP, From: port, To: port}},
	}
}

func pods(namespace string, selector policy.Selector) policy.Peer {
	return policy.Peer{Pods: &policy.PodSelector{Namespace: namespace, Pods: selector}}
}

func everyPod() policy.Peer { return policy.Peer{Pods: &policy.PodSelector{}} }

func namespacesWith(key, value string) policy.Peer {
	return policy.Peer{Pods: &policy.PodSelector{Namespaces: labelled(key, value)}}
}

func block(prefix string, except ...string) policy.Peer {
	c := &policy.CIDR{Prefix: netip.MustParsePrefix(prefix)}
	for _, e := range except {
		c.Except = append(c.Except, netip.MustParsePrefix(e))
	}
	return policy.Peer{CIDR: c}
}

func dns() policy.Rule {
	r := rule(53, policy.Peer{Pods: &policy.PodSelector{Namespace: namespaceName(0), Pods: labelled("app", "app-0")}})
	r.Ports = append(r.Ports, policy.Port{Protocol: traffic.UDP, From: 53, To: 53})
	return r
}
