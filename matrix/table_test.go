package matrix

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
)

// shop has pods of three namespaces; only b/server may be reached, and only from
// namespace a and on TCP 80.
func shop() (*cluster.Snapshot, *policy.Set) {
	s := small()
	addPod(s, "a/other", "n1", "10.1.0.4")
	addPod(s, "c/client", "n1", "10.1.0.5", "TCP 8080")
	rule := policy.Rule{Action: policy.Allow, Peers: []policy.Peer{{Pods: &policy.PodSelector{Namespace: "a"}}}, Ports: []policy.Port{tcp(80, 80)}}
	return s, set(np("b/p", "", rules(rule), nil), np("c/p", "", nil, rules(to([]string{"10.0.0.1/32"}))))
}

func table(t *testing.T, m *Matrix, p printer.Printer) string {
	t.Helper()
	var out bytes.Buffer
	p.Out = &out
	if err := p.Print(m); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGrid(t *testing.T) {
	want := `
          b/server UDP 53
          │ b/server TCP 80
          │ │ c/client TCP 8080
          │ │ │ node/n1 TCP 22
a/client  ✗ ✓ ✓ ✓
a/other   ✗ ✓ ✓ ✓
b/server  · · ✓ ✓
c/client  ✗ ✗ · ✓

✓ allowed   ✗ denied   · not asked

9 allowed, 4 denied
`
	got := "\n" + table(t, answered(shop()), printer.Printer{Width: 31})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestListWhereAGridDoesNotFit(t *testing.T) {
	want := `
b/server UDP 53
  denied           a/* (2)
                   c/client

b/server TCP 80
  allowed          a/* (2)
  denied           c/client

c/client TCP 8080
  allowed          a/* (2)
                   b/server

node/n1 TCP 22
  allowed          a/* (2)
                   b/server
                   c/client

9 allowed, 4 denied
`
	got := "\n" + table(t, answered(shop()), printer.Printer{Width: 30})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestListNamesSourcesThatDiffer(t *testing.T) {
	s := cluster.NewSnapshot()
	addPod(s, "b/server", "n2", "10.1.0.100", "TCP 80")
	for i := range 4 {
		addPod(s, fmt.Sprintf("a/%d", i), "n1", fmt.Sprintf("10.1.0.%d", i+1))
	}
	policies := set(np("b/p", "", rules(to([]string{"10.1.0.1/32", "203.0.113.0/24 but 203.0.113.64/26"})), nil))
	want := `
b/server TCP 80
  allowed          a/0 ip/203.0.113.10
  denied           a/1 a/2 a/3 ip/203.0.113.64

2 allowed, 4 denied
`
	got := "\n" + table(t, answered(s, policies), printer.Printer{Width: 20})
	got = strings.ReplaceAll(got, "\n                   ", " ")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDisagreementsStandOut(t *testing.T) {
	m := answered(small(), policy.NewSet(), "deny", "allow")
	want := `
          b/server UDP 53
          │ b/server TCP 80
a/client  ! ✓

✓ allowed   ! packets disagree

packets disagree:  a/client -> b/server  UDP 53  model allow, packets deny

2 allowed, 0 denied; packets disagree with 1 of 2
`
	if diff := cmp.Diff(want, "\n"+table(t, m, printer.Printer{})); diff != "" {
		t.Error(diff)
	}
	list := "\n" + table(t, m, printer.Printer{Width: 1})
	if !strings.Contains(list, "  packets disagree a/client\n") || !strings.Contains(list, "model allow, packets deny") {
		t.Errorf("list: %s", list)
	}
}

func TestFamiliesThatDifferAreColumns(t *testing.T) {
	want := `
          b/server TCP 80 IPv4
          │ b/server TCP 80 IPv6
          │ │ b/server TCP 90
a/client  ✓ ✗ ✗

✓ allowed   ✗ denied

1 allowed, 2 denied
`
	if diff := cmp.Diff(want, "\n"+table(t, answered(dual()), printer.Printer{})); diff != "" {
		t.Error(diff)
	}
}

// Colours change no column: without their escapes the table is the plain one.
func TestColoursKeepTheLayout(t *testing.T) {
	for _, width := range []int{0, 1} {
		m := answered(shop())
		plain := table(t, m, printer.Printer{Width: width})
		colored := table(t, m, printer.Printer{Width: width, Color: true})
		if colored == plain {
			t.Error("no colours")
		}
		for _, style := range []printer.Style{printer.Bold, printer.Dim, printer.Red, printer.Green} {
			colored = strings.ReplaceAll(colored, "\x1b["+string(style)+"m", "")
		}
		if diff := cmp.Diff(plain, strings.ReplaceAll(colored, "\x1b[0m", "")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNothingToAsk(t *testing.T) {
	got := table(t, answered(cluster.NewSnapshot(), policy.NewSet()), printer.Printer{})
	if !strings.Contains(got, "no connections to ask about") {
		t.Errorf("got %q", got)
	}
	if got := printed(t, answered(cluster.NewSnapshot(), policy.NewSet()), printer.JSON); got != "{\"connections\":[]}\n" {
		t.Errorf("got %q", got)
	}
}
