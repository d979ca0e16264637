package matrix

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func tcp(from, to uint16) policy.Port {
	return policy.Port{Protocol: traffic.TCP, From: from, To: to}
}

func TestAllPairsOfDistinctPodsTimesPorts(t *testing.T) {
	s := small()
	addPod(s, "b/again", "n1", "10.1.0.3", "SCTP 7")
	wantLines(t, list(Connections(s, policy.NewSet()), false), `
		a/client -> b/again SCTP 7 IPv4
		a/client -> b/server UDP 53 IPv4
		a/client -> b/server TCP 80 IPv4
		b/again -> b/server UDP 53 IPv4
		b/again -> b/server TCP 80 IPv4
		b/server -> b/again SCTP 7 IPv4`)
}

func TestBothFamiliesWhereBothEndsHaveThem(t *testing.T) {
	s := cluster.NewSnapshot()
	addPod(s, "a/dual", "n1", "fd00::1 10.1.0.1", "TCP 80")
	addPod(s, "a/four", "n1", "10.1.0.2", "TCP 80")
	addPod(s, "a/six", "n1", "fd00::3", "TCP 80")
	addPod(s, "b/dual", "n2", "10.1.0.4 fd00::4")
	addPod(s, "b/none", "n2", "", "TCP 80")
	wantLines(t, list(Connections(s, policy.NewSet()), false), `
		a/dual -> a/four TCP 80 IPv4
		a/dual -> a/six TCP 80 IPv6
		a/four -> a/dual TCP 80 IPv4
		a/six -> a/dual TCP 80 IPv6
		b/dual -> a/dual TCP 80 IPv4
		b/dual -> a/dual TCP 80 IPv6
		b/dual -> a/four TCP 80 IPv4
		b/dual -> a/six TCP 80 IPv6`)
}

func TestHostNetworkPods(t *testing.T) {
	s := small()
	addNode(s, "n2", "10.0.0.2", "10.1.1.0/24")
	addPod(s, "sys/agent", "n1", "10.0.0.1", "TCP 9").HostNetwork = true
	addPod(s, "sys/proxy", "n1", "10.0.0.1", "TCP 8").HostNetwork = true
	addPod(s, "sys/proxy2", "n2", "10.0.0.2", "TCP 8").HostNetwork = true
	all := list(Connections(s, set(np("b/p", "", rules(to(nil)), rules(to(nil))))), false)
	wantLines(t, all, `
		a/client -> b/server UDP 53 IPv4
		a/client -> b/server TCP 80 IPv4
		a/client -> sys/agent TCP 9 IPv4
		a/client -> sys/proxy TCP 8 IPv4
		a/client -> sys/proxy2 TCP 8 IPv4
		a/client -> ip/203.0.113.10 TCP 80 IPv4
		b/server -> sys/agent TCP 9 IPv4
		b/server -> sys/proxy TCP 8 IPv4
		b/server -> sys/proxy2 TCP 8 IPv4
		b/server -> ip/203.0.113.10 TCP 80 IPv4
		sys/agent -> b/server UDP 53 IPv4
		sys/agent -> b/server TCP 80 IPv4
		sys/agent -> sys/proxy2 TCP 8 IPv4
		sys/proxy -> b/server UDP 53 IPv4
		sys/proxy -> b/server TCP 80 IPv4
		sys/proxy -> sys/proxy2 TCP 8 IPv4
		sys/proxy2 -> b/server UDP 53 IPv4
		sys/proxy2 -> b/server TCP 80 IPv4
		sys/proxy2 -> sys/agent TCP 9 IPv4
		sys/proxy2 -> sys/proxy TCP 8 IPv4
		ip/203.0.113.10 -> b/server UDP 53 IPv4
		ip/203.0.113.10 -> b/server TCP 80 IPv4`)
}

// Every rule of these is an egress rule of all pods of namespace a, and asked of
// a/client alone; targets of pods without ports keep the lists short.
var targetRows = []struct {
	name  string
	rules []policy.Rule
	want  string
}{
	{"no rules mention nobody", nil, ""},
	{"pods are not outside", []policy.Rule{{AnyPort: true, Peers: []policy.Peer{{Pods: &policy.PodSelector{}}}}}, ""},
	{"everybody", []policy.Rule{to(nil)}, "a/client -> ip/203.0.113.10 TCP 80 IPv4"},
	{"everybody on a port", []policy.Rule{to(nil, tcp(443, 443))}, "a/client -> ip/203.0.113.10 TCP 443 IPv4"},
	{"several ports and rules", []policy.Rule{to(nil, tcp(443, 443), tcp(25, 25)), to([]string{"0.0.0.0/0"})}, `
		a/client -> ip/203.0.113.10 TCP 25 IPv4
		a/client -> ip/203.0.113.10 TCP 80 IPv4
		a/client -> ip/203.0.113.10 TCP 443 IPv4`},
	{"a range: a usual port in it", []policy.Rule{to(nil, tcp(400, 500))}, "a/client -> ip/203.0.113.10 TCP 443 IPv4"},
	{"a range without a usual port: its first", []policy.Rule{to(nil, tcp(5000, 6000))}, "a/client -> ip/203.0.113.10 TCP 5000 IPv4"},
	{"whole protocols", []policy.Rule{to(nil, policy.Port{Protocol: traffic.UDP}, policy.Port{Protocol: traffic.SCTP})}, `
		a/client -> ip/203.0.113.10 UDP 53 IPv4
		a/client -> ip/203.0.113.10 SCTP 80 IPv4`},
	{"names and ICMP have no number", []policy.Rule{to(nil, policy.Port{Protocol: traffic.TCP, Name: "http"}, policy.Port{Protocol: traffic.ICMP})}, ""},
	{"a block and its exceptions", []policy.Rule{to([]string{"0.0.0.0/0 but 169.254.169.254/32 192.168.0.0/16"})}, `
		a/client -> ip/169.254.169.254 TCP 80 IPv4
		a/client -> ip/192.168.0.1 TCP 80 IPv4
		a/client -> ip/203.0.113.10 TCP 80 IPv4`},
	{"an exception that has the well-known address", []policy.Rule{to([]string{"203.0.113.0/24 but 203.0.113.0/25"})}, `
		a/client -> ip/203.0.113.10 TCP 80 IPv4
		a/client -> ip/203.0.113.128 TCP 80 IPv4`},
	{"one block in another", []policy.Rule{to([]string{"0.0.0.0/0"}, tcp(1, 1)), to([]string{"192.0.2.0/24"}, tcp(2, 2))}, `
		a/client -> ip/192.0.2.10 TCP 1 IPv4
		a/client -> ip/192.0.2.10 TCP 2 IPv4
		a/client -> ip/203.0.113.10 TCP 1 IPv4`},
	{"the pods' own ranges are not outside", []policy.Rule{to([]string{"10.1.0.0/24"})}, ""},
	{"around the pods' own ranges", []policy.Rule{to([]string{"10.1.0.0/23"})}, "a/client -> ip/10.1.1.1 TCP 80 IPv4"},
	{"one address", []policy.Rule{to([]string{"198.18.0.0/32"})}, "a/client -> ip/198.18.0.0 TCP 80 IPv4"},
	{"a node", []policy.Rule{to([]string{"10.0.0.1/32"})}, "a/client -> node/n1 TCP 22 IPv4"},
	{"a node on the rule's port too", []policy.Rule{to([]string{"10.0.0.1/32"}, tcp(10250, 10250))}, `
		a/client -> node/n1 TCP 22 IPv4
		a/client -> node/n1 TCP 10250 IPv4`},
	{"a node cut out", []policy.Rule{to([]string{"0.0.0.0/0 but 10.0.0.1/32"})}, `
		a/client -> node/n1 TCP 22 IPv4
		a/client -> ip/203.0.113.10 TCP 80 IPv4`},
	{"the nodes' network", []policy.Rule{to([]string{"10.0.0.0/16"})}, `
		a/client -> node/n1 TCP 22 IPv4
		a/client -> ip/10.0.1.1 TCP 80 IPv4`},
	{"the nodes' network alone", []policy.Rule{to([]string{"10.0.0.0/30"})}, `
		a/client -> node/n1 TCP 22 IPv4
		a/client -> ip/10.0.0.2 TCP 80 IPv4`},
	{"a family that no pod has", []policy.Rule{to([]string{"2001:db8::/32", "::/0"})}, ""},
	{"networks that no host is in", []policy.Rule{to([]string{"224.0.0.0/4", "127.0.0.0/8"})}, ""},
	{"the end of the address space", []policy.Rule{to([]string{"255.255.255.255/32"})}, ""},
}

func TestTargetsOutside(t *testing.T) {
	for _, row := range targetRows {
		t.Run(row.name, func(t *testing.T) {
			s := small()
			delete(s.Pods, cluster.Name{Namespace: "b", Name: "server"})
			wantLines(t, list(Connections(s, set(np("a/p", "", nil, rules(row.rules...)))), true), row.want)
		})
	}
}

func TestSourcesOutside(t *testing.T) {
	s := small()
	policies := set(np("b/p", "", rules(to([]string{"10.0.0.0/24", "0.0.0.0/0 but 172.16.0.0/12"}, tcp(80, 80))), rules()))
	wantLines(t, list(Connections(s, policies), true), `
		node/n1 -> b/server UDP 53 IPv4
		node/n1 -> b/server TCP 80 IPv4
		ip/10.0.0.2 -> b/server UDP 53 IPv4
		ip/10.0.0.2 -> b/server TCP 80 IPv4
		ip/172.16.0.1 -> b/server UDP 53 IPv4
		ip/172.16.0.1 -> b/server TCP 80 IPv4
		ip/203.0.113.10 -> b/server UDP 53 IPv4
		ip/203.0.113.10 -> b/server TCP 80 IPv4`)
}

func TestIPv6Outside(t *testing.T) {
	s := cluster.NewSnapshot()
	addNode(s, "n1", "10.0.0.1 fd00::1", "")
	addPod(s, "a/client", "n1", "10.1.0.1 fd01::1")
	s.Services[cluster.Name{Namespace: "a", Name: "s"}] = &cluster.Service{ClusterIPs: parseAddrs("2001:db8::10")}
	policies := set(np("a/p", "", nil, rules(to([]string{"::/0 but 2001:db8:1::/64 fd00::/64"}))))
	wantLines(t, list(Connections(s, policies), true), `
		a/client -> node/n1 TCP 22 IPv4
		a/client -> node/n1 TCP 22 IPv6
		a/client -> ip/2001:db8:1::1 TCP 80 IPv6
		a/client -> ip/3fff::10 TCP 80 IPv6
		a/client -> ip/fd00::2 TCP 80 IPv6`)
}
