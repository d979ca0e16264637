package matrix

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Nodes are asked about as soon as policies protect them, and others as where they
// come from and go to.
func TestNodesThatPoliciesProtect(t *testing.T) {
	s := small()
	addNode(s, "n2", "10.0.0.2", "10.1.1.0/24")
	policies := policy.NewSet()
	policies.Hosts[policy.Ref{Name: "n1"}] = &policy.Host{Ref: policy.Ref{Name: "n1"}, Node: "n1", Device: policy.AllDevices}
	p := np("b/p", "", rules(to(nil, tcp(9100, 9100))), nil)
	p.Hosts = &policy.HostSubject{}
	policies.Add(p)
	wantLines(t, list(Connections(s, policies), true), `
		ip/203.0.113.10 -> b/server UDP 53 IPv4
		ip/203.0.113.10 -> b/server TCP 80 IPv4
		a/client -> node/n1 TCP 22 IPv4
		a/client -> node/n1 TCP 9100 IPv4
		a/client -> node/n1 TCP 10250 IPv4
		b/server -> node/n1 TCP 22 IPv4
		b/server -> node/n1 TCP 9100 IPv4
		b/server -> node/n1 TCP 10250 IPv4
		node/n2 -> node/n1 TCP 22 IPv4
		node/n2 -> node/n1 TCP 9100 IPv4
		node/n2 -> node/n1 TCP 10250 IPv4
		ip/203.0.113.10 -> node/n1 TCP 22 IPv4
		ip/203.0.113.10 -> node/n1 TCP 9100 IPv4
		ip/203.0.113.10 -> node/n1 TCP 10250 IPv4
		node/n1 -> ip/203.0.113.10 UDP 53 IPv4
		node/n1 -> ip/203.0.113.10 TCP 80 IPv4
		node/n1 -> node/n2 TCP 22 IPv4
		node/n1 -> node/n2 TCP 9100 IPv4
		node/n1 -> node/n2 TCP 10250 IPv4`)
}
