package explanation

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestNeeds(t *testing.T) {
	s := plan()
	s.Nodes["n2"] = &cluster.Node{Name: "n2", Addrs: addrs("10.0.0.2")}
	set := closed("app=web", "192.0.2.0/24")
	for _, p := range set.Policies {
		p.Hosts, p.Dialect = &policy.HostSubject{}, policy.Calico
		p.Subject.Namespace = ""
	}
	set.Hosts[policy.Ref{Name: "n1"}] = &policy.Host{Ref: policy.Ref{Name: "n1"}, Node: "n1", Device: policy.AllDevices}
	const closedOut = "no policy selects host endpoint n1 for egress, and without one it is closed but for failsafe ports\n"
	for node, want := range map[string]string{
		"n1": "open  SSH         anybody -> node/n1 TCP 22     TCP 22 is a failsafe port of host endpoint n1: no policy closes it\n" +
			"cut   kubelet     node/n2 -> node/n1 TCP 10250  isolated for ingress by shop/p; no rule allows node/n2 on TCP 10250\n" +
			"open  API server  node/n1 -> node/n2 TCP 6443   TCP 6443 is a failsafe port of host endpoint n1: no policy closes it\n" +
			"cut   API server  node/n1 -> anybody TCP 443    " + closedOut +
			"open  etcd        node/n1 -> node/n2 TCP 2379   TCP 2379 is a failsafe port of host endpoint n1: no policy closes it\n" +
			"open  DNS         node/n1 -> anybody UDP 53     UDP 53 is a failsafe port of host endpoint n1: no policy closes it\n" +
			"cut   DNS         node/n1 -> anybody TCP 53     " + closedOut +
			"cut   tunnels     node/n2 -> node/n1 UDP 8472   isolated for ingress by shop/p; no rule allows node/n2 on UDP 8472\n" +
			"cut   tunnels     node/n2 -> node/n1 UDP 4789   isolated for ingress by shop/p; no rule allows node/n2 on UDP 4789\n",
	} {
		needs, err := NewNeeds(s, set, node)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (&printer.Printer{Out: &out, Width: 200}).Print(needs); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
		if !needs.Cut() {
			t.Error("nothing is cut")
		}
	}
	if needs, err := NewNeeds(s, policy.NewSet(), "n1"); err != nil || needs.Cut() || needs.Needs[0].Verdict != traffic.Allow {
		t.Errorf("without policies: %+v, %v", needs, err)
	}
	if _, err := NewNeeds(s, set, "n3"); err == nil {
		t.Error("a node that is not there has needs")
	}
}
