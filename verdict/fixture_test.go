package verdict

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// The one address plan of this package's tests: two nodes, both families.
//
//	n1 10.0.0.1 fd00::1   shop/frontend 10.1.1.1 fd01::1:1   shop/cart 10.1.1.2   kube-system/proxy (n1's network)
//	n2 10.0.0.2 fd00::2   shop/backend  10.1.2.1 fd01::2:1   dev/visitor 10.1.2.2   kube-system/agent (n2's network)
func plan() *cluster.Snapshot {
	s := cluster.NewSnapshot()
	for name, labels := range map[string]string{"shop": "team=shop", "dev": "team=dev,stage=test", "kube-system": ""} {
		s.Namespaces[name] = &cluster.Namespace{Name: name, Labels: labelMap(labels + ",kubernetes.io/metadata.name=" + name)}
	}
	s.Nodes["n1"] = &cluster.Node{Name: "n1", Addrs: addrs("10.0.0.1 fd00::1")}
	s.Nodes["n2"] = &cluster.Node{Name: "n2", Addrs: addrs("10.0.0.2 fd00::2")}
	add := func(namespace, name, node, addresses, labels string, ports ...cluster.Port) {
		p := &cluster.Pod{Name: cluster.Name{Namespace: namespace, Name: name}, Node: node, Addrs: addrs(addresses), Labels: labelMap(labels), Ports: ports}
		p.HostNetwork = strings.HasPrefix(addresses, "10.0.")
		s.Pods[p.Name] = p
	}
	add("shop", "frontend", "n1", "10.1.1.1 fd01::1:1", "app=frontend,tier=web")
	add("shop", "cart", "n1", "10.1.1.2", "app=cart", port("http", traffic.TCP, 8000))
	add("shop", "backend", "n2", "10.1.2.1 fd01::2:1", "app=backend", port("http", traffic.TCP, 8080),
		port("http", traffic.TCP, 8081), port("http", traffic.UDP, 9999), port("metrics", traffic.TCP, 9090))
	add("dev", "visitor", "n2", "10.1.2.2", "app=frontend")
	add("kube-system", "proxy", "n1", "10.0.0.1 fd00::1", "app=frontend", port("http", traffic.TCP, 8080))
	add("kube-system", "agent", "n2", "10.0.0.2 fd00::2", "app=frontend")
	return s
}

func port(name string, protocol traffic.Protocol, number uint16) cluster.Port {
	return cluster.Port{Name: name, Protocol: protocol, Number: number}
}

func addrs(s string) []netip.Addr {
	var out []netip.Addr
	for _, field := range strings.Fields(s) {
		out = append(out, netip.MustParseAddr(field))
	}
	return out
}

func labelMap(s string) map[string]string {
	m := map[string]string{}
	for _, pair := range strings.Split(s, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			m[key] = value
		}
	}
	return m
}

// connect reads "shop/frontend -> shop/backend TCP 8080"; "6" at the end chooses
// IPv6, nodes and addresses are written n1 and 203.0.113.9.
func connect(t testing.TB, s *cluster.Snapshot, text string) Connection {
	t.Helper()
	text, six := strings.CutSuffix(text, " 6")
	var from, arrow, to, protocol string
	c := Connection{}
	if _, err := fmt.Sscan(text+" 0", &from, &arrow, &to, &protocol, &c.Port); err != nil {
		t.Fatalf("read %q: %v", text, err)
	}
	var err error
	if c.Protocol, err = traffic.ParseProtocol(protocol); err != nil {
		t.Fatal(err)
	}
	c.From, c.To = end(t, s, from, six), end(t, s, to, six)
	return c
}

func end(t testing.TB, s *cluster.Snapshot, text string, six bool) Endpoint {
	t.Helper()
	family := 0
	if six {
		family = 1
	}
	if node, ok := s.Nodes[text]; ok {
		return Endpoint{Addr: node.Addrs[family], Node: text}
	}
	if namespace, name, ok := strings.Cut(text, "/"); ok {
		pod := s.Pods[cluster.Name{Namespace: namespace, Name: name}]
		if pod == nil {
			t.Fatalf("no pod %s", text)
		}
		return Endpoint{Addr: pod.Addrs[family], Pod: pod}
	}
	return Endpoint{Addr: netip.MustParseAddr(text)}
}

func set(policies []*policy.Policy, tiers ...policy.Tier) *policy.Set {
	s := policy.NewSet()
	for _, tier := range tiers {
		s.Tiers[tier.Name] = tier
	}
	for _, p := range policies {
		s.Add(p)
	}
	return s
}

func selector(s string) policy.Selector {
	parsed, err := labels.Parse(s)
	if err != nil {
		panic(err)
	}
	return parsed
}

// np is a NetworkPolicy: "shop/backend", the pods it selects, and for each
// direction that it speaks of its rules.
func np(name, pods string, directions ...func(*policy.Policy)) *policy.Policy {
	namespace, name, _ := strings.Cut(name, "/")
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: namespace, Name: name},
		Tier:    policy.NetworkPolicyTier.Name,
		Order:   policy.NetworkPolicyOrder,
		Subject: policy.PodSelector{Namespace: namespace, Pods: selector(pods)},
	}
	for _, d := range directions {
		d(p)
	}
	return p
}

func in(rules ...policy.Rule) func(*policy.Policy) {
	return func(p *policy.Policy) { p.Ingress = &policy.Rules{Isolates: true, Rules: rules} }
}

func out(rules ...policy.Rule) func(*policy.Policy) {
	return func(p *policy.Policy) { p.Egress = &policy.Rules{Isolates: true, Rules: rules} }
}

// cluster-wide policy of a tier; it does not isolate.
func global(tier, name string, order float64, pods string, directions ...func(*policy.Policy)) *policy.Policy {
	p := &policy.Policy{
		Ref:  policy.Ref{Dialect: policy.ClusterNetwork, Kind: "ClusterNetworkPolicy", Name: name},
		Tier: tier, Order: order, Subject: policy.PodSelector{Pods: selector(pods)},
	}
	for _, d := range directions {
		d(p)
	}
	for _, rules := range []*policy.Rules{p.Ingress, p.Egress} {
		if rules != nil {
			rules.Isolates = false
		}
	}
	return p
}

func isolating(p *policy.Policy) *policy.Policy {
	for _, rules := range []*policy.Rules{p.Ingress, p.Egress} {
		if rules != nil {
			rules.Isolates = true
		}
	}
	return p
}

// rule is "TCP 80", "TCP 80-90", "TCP http", "TCP" or "" for any port, and its
// peers; without peers it matches every one.
func rule(action policy.Action, ports string, peers ...policy.Peer) policy.Rule {
	r := policy.Rule{Action: action, AnyPeer: len(peers) == 0, Peers: peers, AnyPort: ports == ""}
	for _, text := range strings.Split(ports, ", ") {
		if text != "" {
			r.Ports = append(r.Ports, rulePort(text))
		}
	}
	return r
}

func rulePort(text string) policy.Port {
	name, rest, _ := strings.Cut(text, " ")
	protocol, err := traffic.ParseProtocol(name)
	if err != nil && name != "ANY" {
		panic(err)
	}
	p := policy.Port{Protocol: protocol}
	if n, _ := fmt.Sscanf(rest, "%d-%d", &p.From, &p.To); n == 1 {
		p.To = p.From
	} else if n == 0 {
		p.Name = rest
	}
	return p
}

func allow(ports string, peers ...policy.Peer) policy.Rule {
	return rule(policy.Allow, ports, peers...)
}

// pods is a peer: "shop" is a namespace, "team=dev" selects namespaces, "" is all
// of them.
func pods(namespace, labels string) policy.Peer {
	s := &policy.PodSelector{}
	switch {
	case strings.ContainsAny(namespace, "=!"):
		s.Namespaces = selector(namespace)
	default:
		s.Namespace = namespace
	}
	if labels != "" {
		s.Pods = selector(labels)
	}
	return policy.Peer{Pods: s}
}

func block(prefix string, except ...string) policy.Peer {
	c := &policy.CIDR{Prefix: netip.MustParsePrefix(prefix)}
	for _, e := range except {
		c.Except = append(c.Except, netip.MustParsePrefix(e))
	}
	return policy.Peer{CIDR: c}
}
