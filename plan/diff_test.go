package plan

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

func clone(t *testing.T, p *Plan) *Plan {
	t.Helper()
	c, err := Parse(Text(p))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDiffAppliedGivesTheOtherPlan(t *testing.T) {
	for n := range 300 {
		r := source(n)
		a, b := randomPlan(r), randomPlan(r)
		d := Compare(a, b)
		got := clone(t, a)
		d.Apply(got)
		if Text(got) != Text(b) {
			t.Fatalf("pair %d: got\n%s\nwant\n%s", n, Text(got), Text(b))
		}
	}
}

func TestApplyLeavesTheOtherPlanAlone(t *testing.T) {
	a, b := randomPlan(source(1)), randomPlan(source(2))
	before := Text(b)
	got := clone(t, a)
	Compare(a, b).Apply(got)
	for _, class := range got.Classes {
		class.Rows[Row{Peer: 99}] = traffic.Allow
	}
	if Text(b) != before {
		t.Error("a change of the first plan shows in the second")
	}
}

func TestEqualPlansHaveAnEmptyDiff(t *testing.T) {
	for n := range 50 {
		p := randomPlan(source(n))
		d := Compare(p, clone(t, p))
		if !d.Empty() || d.Len() != 0 || d.Text() != "" || d.Revokes() {
			t.Fatalf("plan %d: %s", n, d.Text())
		}
	}
}

func TestTextOfADiffNamesWhatChanges(t *testing.T) {
	a, err := Parse(sample)
	if err != nil {
		t.Fatal(err)
	}
	b := clone(t, a)
	clear(b.Addrs)
	class := b.Classes[0xc1]
	class.Policies = []string{"shop/backend", "shop/new"}
	delete(class.Rows, Row{AnyPeer: true, Protocol: traffic.TCP, To: 65535})
	class.Rows[Row{Peer: 0xa, Protocol: traffic.TCP, From: 80, To: 90}] = traffic.Allow
	b.Classes[0xc2] = &Class{Direction: traffic.Egress, Default: traffic.Allow, Policies: []string{"x"}}
	b.Peers[0xc] = []string{"net 10.0.0.0/8"}
	const want = `+ peer 0000000c
+   net 10.0.0.0/8
- address 10.0.0.7 0000000a
- address fd00::7 0000000a
  class 000000c1 ingress default deny
-   policy " odd\n"
+   policy shop/new
-   deny peer 0000000a TCP 80-90
+   allow peer 0000000a TCP 80-90
-   allow any TCP
+ class 000000c2 egress default allow
+   policy x
`
	d := Compare(a, b)
	if got := d.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := d.Len(); got != 5 {
		t.Errorf("touches %d entries, want 2 addresses, 2 rows and 1 class", got)
	}
}
