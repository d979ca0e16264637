// Package gen makes random clusters, policies, connections and sequences of
// changes, for tests that compare two opinions on them.
//
// Everything is small and made of few words, so that selectors hit, blocks
// overlap and ports collide far more often than in life. The same numbers from
// the source give the same world. Worlds share their objects and never change
// them; each belongs to one goroutine.
package gen

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// World is a cluster and the policies in it.
type World struct {
	Snapshot *cluster.Snapshot
	Set      *policy.Set
}

// Shape is how large a world is and of what kind. Its zero value is an empty
// world.
type Shape struct {
	Nodes, Namespaces, Pods, Policies int
	// General: policies use all that the model has, tiers, order, every action
	// and protocol. Otherwise they are what NetworkPolicy can say, and are read
	// from NetworkPolicy objects.
	General bool
	// Mixed: policies are of all dialects, each read from an API object.
	Mixed bool
	// Content: with General or Mixed, rules also ask for names, HTTP requests and
	// queries.
	Content bool
	// Disputed: some addresses are claimed by several pods, or by a pod and a
	// node.
	Disputed bool
	// Hosts: there are host endpoints, and some policies are on hosts or nodes.
	// Every named device is HostDevice.
	Hosts bool
}

// Small is a shape that is worked through in less than a millisecond.
var Small = Shape{Nodes: 3, Namespaces: 4, Pods: 24, Policies: 12}

// Source is random numbers that depend on the seed and n alone.
func Source(seed uint64, n int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(n))) }

// New makes a world.
func New(r *rand.Rand, s Shape) *World {
	g := &generator{Rand: r, Shape: s, world: &World{Snapshot: cluster.NewSnapshot(), Set: policy.NewSet()}}
	g.nodes()
	g.namespaces()
	for n := range s.Pods {
		g.add(g.pod(n))
	}
	if s.General {
		g.tiers()
		g.networksAndAccounts()
	}
	if s.Mixed {
		g.mixedCluster()
	}
	if s.Hosts {
		g.hosts()
	}
	for n := range s.Policies {
		g.world.SetPolicy(g.policy(n))
	}
	g.learn()
	return g.world
}

// generator makes one world.
type generator struct {
	*rand.Rand
	Shape
	world *World
	// Of Cilium's rules: they ask for no services, and their peers are nodes by
	// label alone, if there are any.
	plain, onlyNodes bool
}

// one of some words.
func one[T any](g *generator, words ...T) T { return words[g.IntN(len(words))] }

// in tells one time out of n.
func (g *generator) in(n int) bool { return g.IntN(n) == 0 }

func (g *generator) nodes() {
	for n := range g.Nodes {
		name := fmt.Sprintf("node-%d", n)
		g.world.Snapshot.Nodes[name] = &cluster.Node{
			Name:   name,
			Labels: map[string]string{"zone": one(g, "a", "b")},
			Addrs:  dual(fmt.Sprintf("192.168.0.%d", n+1), fmt.Sprintf("fd01::%x", n+1)),
		}
	}
}

func dual(v4, v6 string) []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}
}

func namespaceName(n int) string { return fmt.Sprintf("ns-%d", n) }

// namespaces declares most of the namespaces that pods and policies are in.
func (g *generator) namespaces() {
	for n := range g.Namespaces {
		if g.in(6) {
			continue
		}
		g.world.Snapshot.Namespaces[namespaceName(n)] = g.namespace(n)
	}
}

func (g *generator) namespace(n int) *cluster.Namespace {
	labels := g.labels("env", "team")
	labels[cluster.NamespaceNameLabel] = namespaceName(n)
	return &cluster.Namespace{Name: namespaceName(n), Labels: labels}
}

// labels are some of the keys, with one of few values each.
func (g *generator) labels(keys ...string) map[string]string {
	labels := map[string]string{}
	for _, k := range keys {
		if !g.in(4) {
			labels[k] = one(g, "a", "b", "c")
		}
	}
	return labels
}

var portNames = []string{"http", "dns", "admin"}

var portNumbers = []uint16{53, 80, 81, 443, 8080, 8081, 9090}

func (g *generator) pod(n int) *cluster.Pod {
	node := g.IntN(g.Nodes)
	p := &cluster.Pod{
		Name:           cluster.Name{Namespace: namespaceName(g.IntN(g.Namespaces)), Name: fmt.Sprintf("pod-%d", n)},
		Labels:         g.labels("app", "role", "team"),
		ServiceAccount: one(g, "default", "a", "b"),
		Node:           fmt.Sprintf("node-%d", node),
		Addrs:          dual(fmt.Sprintf("10.%d.%d.%d", n/250, node, n%250+1), fmt.Sprintf("fd00:%x::%x", node, n+1)),
	}
	switch {
	case g.in(12):
		p.HostNetwork = true
		p.Addrs = g.world.Snapshot.Nodes[p.Node].Addrs
	case g.in(20):
		p.Addrs = nil
	case g.in(6):
		p.Addrs = p.Addrs[:1]
	case g.in(12):
		p.Addrs = p.Addrs[1:]
	}
	for range g.IntN(4) {
		p.Ports = append(p.Ports, cluster.Port{
			Name:     one(g, "", one(g, portNames...), one(g, portNames...)),
			Protocol: g.protocol(),
			Number:   one(g, portNumbers...),
		})
	}
	if g.Disputed && g.in(3) && !p.HostNetwork {
		p.Addrs = g.stolen(p.Addrs)
	}
	return p
}

// stolen is an address that somebody has already.
func (g *generator) stolen(own []netip.Addr) []netip.Addr {
	if g.in(4) {
		return g.world.Snapshot.Nodes["node-0"].Addrs
	}
	for _, p := range g.world.pods() {
		if !p.HostNetwork && len(p.Addrs) > 0 && g.in(3) {
			return p.Addrs
		}
	}
	return own
}

func (g *generator) add(p *cluster.Pod) { g.world.Snapshot.Pods[p.Name] = p }

// protocol is one that has ports, most often TCP.
func (g *generator) protocol() traffic.Protocol {
	return one(g, traffic.TCP, traffic.TCP, traffic.TCP, traffic.UDP, traffic.SCTP)
}
