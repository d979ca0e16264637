package matrix

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// small is one pod and a node of each family, and nothing more:
//
//	node n1 10.0.0.1, pods 10.1.0.0/24: a/client 10.1.0.1, b/server 10.1.0.2 (TCP 80, UDP 53)
func small() *cluster.Snapshot {
	s := cluster.NewSnapshot()
	addNode(s, "n1", "10.0.0.1", "10.1.0.0/24")
	addPod(s, "a/client", "n1", "10.1.0.1")
	addPod(s, "b/server", "n1", "10.1.0.2", "UDP 53", "TCP 80", "TCP 80")
	return s
}

func addNode(s *cluster.Snapshot, name, addresses, ranges string) {
	node := &cluster.Node{Name: name, Addrs: parseAddrs(strings.Fields(addresses)...)}
	node.PodCIDRs = parsePrefixes(strings.Fields(ranges)...)
	s.Nodes[name] = node
}

func addPod(s *cluster.Snapshot, name, node, addresses string, ports ...string) *cluster.Pod {
	namespace, name, _ := strings.Cut(name, "/")
	p := &cluster.Pod{Name: cluster.Name{Namespace: namespace, Name: name}, Node: node, Addrs: parseAddrs(strings.Fields(addresses)...)}
	p.Labels = map[string]string{"app": name}
	for _, port := range ports {
		var protocol string
		var number uint16
		fmt.Sscan(port, &protocol, &number)
		parsed, err := traffic.ParseProtocol(protocol)
		if err != nil {
			panic(err)
		}
		p.Ports = append(p.Ports, cluster.Port{Protocol: parsed, Number: number})
	}
	s.Pods[p.Name] = p
	return p
}

// np is a NetworkPolicy that selects the pods of a label app, or all of the
// namespace.
func np(name, app string, ingress, egress *policy.Rules) *policy.Policy {
	namespace, name, _ := strings.Cut(name, "/")
	p := &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: namespace, Name: name},
		Tier:    policy.NetworkPolicyTier.Name,
		Subject: policy.PodSelector{Namespace: namespace},
		Ingress: ingress, Egress: egress,
	}
	if app != "" {
		p.Subject.Pods = labels.SelectorFromSet(labels.Set{"app": app})
	}
	return p
}

func rules(rules ...policy.Rule) *policy.Rules { return &policy.Rules{Isolates: true, Rules: rules} }

// to is a rule for blocks, written "10.0.0.0/8 but 10.1.0.0/16", or for
// everybody, on ports.
func to(blocks []string, ports ...policy.Port) policy.Rule {
	r := policy.Rule{Action: policy.Allow, AnyPeer: len(blocks) == 0, AnyPort: len(ports) == 0, Ports: ports}
	for _, text := range blocks {
		prefix, except, _ := strings.Cut(text, " but ")
		r.Peers = append(r.Peers, policy.Peer{CIDR: &policy.CIDR{
			Prefix: netip.MustParsePrefix(prefix), Except: parsePrefixes(strings.Fields(except)...),
		}})
	}
	return r
}

func set(policies ...*policy.Policy) *policy.Set {
	s := policy.NewSet()
	for _, p := range policies {
		s.Add(p)
	}
	return s
}

// list is the connections as text, those between pods left out on demand.
func list(connections []verdict.Connection, outsideOnly bool) []string {
	var lines []string
	for _, c := range connections {
		if !outsideOnly || c.From.Pod == nil || c.To.Pod == nil {
			lines = append(lines, fmt.Sprintf("%s %s", c, family(c)))
		}
	}
	return lines
}

func wantLines(t *testing.T, got []string, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}
