package gen

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func (g *generator) tiers() {
	for n := range 1 + g.IntN(3) {
		g.world.Set.Tiers[tierName(n)] = g.tier(n)
	}
}

func tierName(n int) string { return fmt.Sprintf("tier-%d", n) }

func (g *generator) tier(n int) policy.Tier {
	return policy.Tier{Name: tierName(n), Order: one(g, 100.0, 100, 500_000, 2_000_000), End: one(g, policy.Deny, policy.Pass)}
}

func (g *generator) policy(n int) *policy.Policy {
	if g.Mixed {
		return g.mixed(n)
	}
	if g.Hosts && g.in(2) {
		return g.onHosts(g.general(n))
	}
	if g.General && !g.in(3) {
		return g.general(n)
	}
	p := g.networkPolicy(n)
	if g.General {
		return p
	}
	return read(p)
}

// networkPolicy is a policy of the shape that NetworkPolicy has.
func (g *generator) networkPolicy(n int) *policy.Policy {
	namespace := namespaceName(g.IntN(g.Namespaces))
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: namespace, Name: fmt.Sprintf("policy-%d", n)},
		Tier:    policy.NetworkPolicyTier.Name,
		Order:   policy.NetworkPolicyOrder,
		Subject: policy.PodSelector{Namespace: namespace, Pods: g.selector("app", "role")},
	}
	direction := g.IntN(3)
	if direction != 0 {
		p.Ingress = g.rules(namespace, traffic.Ingress)
	}
	if direction != 1 {
		p.Egress = g.rules(namespace, traffic.Egress)
	}
	return p
}

func (g *generator) rules(namespace string, d traffic.Direction) *policy.Rules {
	rules := &policy.Rules{Isolates: true, Rules: []policy.Rule{}}
	for range g.IntN(4) {
		rules.Rules = append(rules.Rules, g.rule(namespace, d))
	}
	return rules
}

func (g *generator) rule(namespace string, d traffic.Direction) policy.Rule {
	r := policy.Rule{Action: policy.Allow}
	if r.AnyPeer = g.in(6); !r.AnyPeer {
		for range 1 + g.IntN(3) {
			r.Peers = append(r.Peers, g.peer(namespace))
		}
		if g.in(15) {
			r.Peers = append(r.Peers, g.list()...)
		}
	}
	if r.AnyPort = g.in(4); !r.AnyPort {
		for range 1 + g.IntN(3) {
			r.Ports = append(r.Ports, g.port(d))
		}
	}
	return r
}

// peer is what NetworkPolicy can name: pods of the policy's namespace, pods by
// namespace, or a block.
func (g *generator) peer(namespace string) policy.Peer {
	switch g.IntN(5) {
	case 0:
		return policy.Peer{Pods: &policy.PodSelector{Namespace: namespace, Pods: g.selector("app", "role")}}
	case 1:
		return policy.Peer{Pods: &policy.PodSelector{Namespaces: g.selector("env", "team", cluster.NamespaceNameLabel)}}
	case 2:
		return policy.Peer{Pods: &policy.PodSelector{Namespaces: g.selector("env", "team"), Pods: g.selector("app", "role", "team")}}
	}
	return policy.Peer{CIDR: g.block()}
}

// blocks overlap in many ways; pods, nodes and the outside are in some of them.
var blocks = []string{
	"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.1.0/24", "10.0.0.8/29", "10.0.1.4/30",
	"10.0.0.3/32", "10.0.1.7/32", "192.168.0.0/16", "192.168.0.0/30", "192.168.0.1/32",
	"203.0.113.0/24", "203.0.113.0/29", "203.0.113.4/30", "169.254.169.254/32", "128.0.0.0/1",
	"::/0", "fd00::/16", "fd00::/64", "fd00:1::/64", "fd00::/124", "fd01::/64", "2001:db8::/32", "2001:db8::/125",
}

func (g *generator) block() *policy.CIDR {
	c := &policy.CIDR{Prefix: netip.MustParsePrefix(one(g, blocks...))}
	for range g.IntN(3) {
		cut := netip.MustParsePrefix(one(g, blocks...))
		if c.Prefix.Contains(cut.Addr()) && cut.Bits() > c.Prefix.Bits() && !slices.ContainsFunc(c.Except, cut.Overlaps) {
			c.Except = append(c.Except, cut)
		}
	}
	slices.SortFunc(c.Except, netip.Prefix.Compare)
	return c
}

// list is a long list of small blocks, as a feed of addresses has.
func (g *generator) list() []policy.Peer {
	var peers []policy.Peer
	for n := range 20 {
		addr := netip.AddrFrom4([4]byte{one[byte](g, 10, 203), 0, one[byte](g, 0, 1, 113), byte(n)})
		peers = append(peers, policy.Peer{CIDR: &policy.CIDR{Prefix: netip.PrefixFrom(addr, one(g, 29, 31, 32)).Masked()}})
	}
	return peers
}

func (g *generator) port(traffic.Direction) policy.Port {
	p := policy.Port{Protocol: g.protocol()}
	switch g.IntN(6) {
	case 0:
	case 1:
		p.Name = one(g, portNames...)
	case 2:
		p.From = one(g, portNumbers...)
		p.To = max(p.From, one(g, portNumbers...))
	default:
		p.From = one(g, portNumbers...)
		p.To = p.From
	}
	return p
}

// selector is a label selector over some keys; nil picks everything.
func (g *generator) selector(keys ...string) policy.Selector {
	if g.in(5) {
		return nil
	}
	selector := labels.NewSelector()
	for range 1 + g.IntN(2) {
		selector = selector.Add(g.requirement(one(g, keys...)))
	}
	return selector
}

func (g *generator) requirement(key string) labels.Requirement {
	value := func() string {
		if key == cluster.NamespaceNameLabel {
			return namespaceName(g.IntN(g.Namespaces))
		}
		return one(g, "a", "b", "c")
	}
	operator := one(g, selection.Equals, selection.Equals, selection.In, selection.NotIn, selection.Exists, selection.DoesNotExist)
	var values []string
	switch operator {
	case selection.Equals:
		values = []string{value()}
	case selection.In, selection.NotIn:
		values = []string{value(), value()}
		slices.Sort(values)
		values = slices.Compact(values)
	}
	r, err := labels.NewRequirement(key, operator, values)
	if err != nil {
		panic(err) // the words above are all valid
	}
	return *r
}
