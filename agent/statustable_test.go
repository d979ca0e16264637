package agent

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/printer"
)

func TestStatusAsATable(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	fine := Status{
		Node: "n1", Version: "v1", Started: at, Ready: true, NodeExists: true, Policies: 3,
		Kinds:  []PolicyKind{{"kubernetes", "NetworkPolicy", 1}, {"calico", "NetworkPolicy", 2}},
		Source: SourceStatus{Name: "https://api", Tables: []kube.State{{Kind: "Pod"}}},
		Kernel: KernelState{Changed: at},
		Pods: []PodStatus{
			{Pod: "a/open", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}},
			{Pod: "a/shut", Ingress: Protection{Isolated: true, Policies: []string{"a/x", "a/y"}}, Since: &at},
		},
	}
	for _, test := range []struct {
		name     string
		change   func(*Status)
		enforces bool
		want     []string
	}{
		{"fine", func(*Status) {}, true, []string{
			"node      n1\n", "in force since 2026-03-04 05:06:07\n", "policies  3 in the cluster: 1 NetworkPolicy, 2 NetworkPolicy (calico)\n",
			"POD     ADDRESSES         INGRESS  EGRESS  SINCE\n",
			"a/open  10.0.0.1,fd00::1  open     open\n",
			"a/shut                    a/x,a/y  open    2026-03-04 05:06:07\n",
		}},
		{"reading", func(s *Status) { s.Ready = false }, false, []string{"still reading", "a/open  10.0.0.1,fd00::1  ?"}},
		{"refused", func(s *Status) { s.Kernel.Failed = "no room" }, false, []string{"refuses the present state: no room"}},
		{"folder broken", func(s *Status) { s.Source.Failed = "x.yaml:3" }, false, []string{"the last good state stands: x.yaml:3"}},
		{"server lost", func(s *Status) { s.Source.Tables = []kube.State{{Lost: "refused", Since: at}} }, true, []string{"https://api does not answer since 2026-03-04 05:06:07: refused"}},
		{"wrong name", func(s *Status) { s.NodeExists = false }, true, []string{"no node of this name"}},
		{"no pods", func(s *Status) { s.Pods = nil }, true, []string{"no pods on this node's pod network\n"}},
		{"policy not enforced", func(s *Status) {
			s.Faults = []OpenFault{{Object: "NetworkPolicy a/x", Reason: NotEnforced, Text: "odd", Since: at}}
		}, false, []string{"NetworkPolicy a/x  the policy is NOT enforced", "odd"}},
		{"policy partly enforced", func(s *Status) {
			s.Faults = []OpenFault{{Object: "NetworkPolicy a/x", Reason: PartlyEnforced, Text: "odd", Since: at}}
		}, true, []string{"allows nothing, the rest is enforced"}},
	} {
		s := fine
		test.change(&s)
		if got := s.Enforces(); got != test.enforces {
			t.Errorf("%s: enforces %t, want %t", test.name, got, test.enforces)
		}
		var out bytes.Buffer
		p := printer.Printer{Out: &out}
		if err := p.Print(s); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, &out)
			}
		}
	}
}
