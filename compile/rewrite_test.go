package compile

import (
	"math/rand/v2"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TestEditedPoliciesGiveThePlanOfTheWhole: an edit looks only at what it can
// change.
func TestEditedPoliciesGiveThePlanOfTheWhole(t *testing.T) {
	sequences(t, 12, func(t *testing.T, kind func(*Compiler) *Compiler, r *rand.Rand, w *gen.World, _ []gen.Change) {
		c := kind(New(thisNode))
		c.SetAll(w.Snapshot, w.Set)
		c.Commit()
		for _, change := range gen.Edits(r, gen.Shape{Nodes: 3, Namespaces: 4, General: true}, w, 40) {
			before := mustClone(t, c.Plan())
			change(w)
			change(c)
			d := c.Commit()
			check(t, c, w, kind)
			if want := plan.Compare(before, c.Plan()); d.Text() != want.Text() {
				t.Fatalf("the diff is\n%s\nand the plans differ by\n%s", d.Text(), want.Text())
			}
		}
	})
}

// TestAnEditLooksAtItsOwnPeers and not at the other thousand's.
func TestAnEditLooksAtItsOwnPeers(t *testing.T) {
	c := New(thisNode)
	c.SetAll(crowded(100))
	c.Commit()
	everybody := oneOf(9, 9000)
	everybody.Ingress.Rules[0].Peers, everybody.Ingress.Rules[0].AnyPeer = nil, true
	for _, row := range []struct {
		name   string
		edited *policy.Policy
		groups int // to look at
		whole  bool
	}{
		{"port", oneOf(7, 9000), 1, false},
		{"the same", oneOf(7, 9000), 1, false},
		{"any peer", everybody, 0, true},
		{"no longer", oneOf(9, 8000), 0, true},
	} {
		c.SetPolicy(row.edited)
		c.settlePolicies()
		c.pending.reset()
		looked := 0
		for _, groups := range c.settleRules() {
			looked += len(groups)
		}
		if whole := len(c.dirty.classes) > 0; looked != row.groups || whole != row.whole {
			t.Errorf("%s: looks at %d groups, at the whole class: %t", row.name, looked, whole)
		}
		c.Commit()
	}
}

// TestAnEditLooksAtWhoeverItConcerns, with a world of one pod and two policies.
func TestAnEditLooksAtWhoeverItConcerns(t *testing.T) {
	everywhere := policy.Peer{Pods: &policy.PodSelector{}}
	for _, row := range []struct {
		name      string
		was, is   *policy.Rules
		unchanged *policy.Rules
	}{
		{"a peer that another policy names too goes", rulesFor(80, picking("pod", "1")), rulesFor(80, picking("pod", "2")), rulesFor(81, picking("pod", "1"))},
		{"a peer that another policy names too comes", rulesFor(80, picking("pod", "2")), rulesFor(80, picking("pod", "1")), rulesFor(81, picking("pod", "1"))},
		{"the wider group is let in like one in it", rulesFor(80, everywhere), rulesFor(81, everywhere), rulesFor(81, picking("pod", "1"))},
		{"and no longer is", rulesFor(81, everywhere), rulesFor(80, everywhere), rulesFor(81, picking("pod", "1"))},
	} {
		snapshot, set := crowded(2)
		edited, other := oneOf(0, 80), oneOf(1, 80)
		edited.Ingress, other.Ingress = row.was, row.unchanged
		set.Policies[edited.Ref], set.Policies[other.Ref] = edited, other
		c := New(thisNode)
		c.SetAll(snapshot, set)
		c.Commit()
		now := *edited
		now.Ingress = row.is
		set.Policies[now.Ref] = &now
		c.SetPolicy(&now)
		if c.Commit().Empty() {
			t.Errorf("%s: nothing changes", row.name)
		}
		if d := plan.Compare(Full(thisNode, snapshot, set), c.Plan()); !d.Empty() {
			t.Errorf("%s: the plan differs from one made at once:\n%s", row.name, d.Text())
		}
	}
}

// TestAnEditOfNamesIsSeenByTheClass: which names it learns is the class's own, and
// with it that queries for any name go through the proxy.
func TestAnEditOfNamesIsSeenByTheClass(t *testing.T) {
	snapshot, set := crowded(2)
	c := New(thisNode)
	c.SetAll(snapshot, set)
	c.Commit()
	for _, peer := range []policy.Peer{
		picking("pod", "1"), named(t, "a.example.org"), named(t, "b.example.org"), picking("pod", "1"),
	} {
		p := oneOf(0, 80)
		p.Egress = rulesFor(80, peer)
		set.Policies[p.Ref] = p
		c.SetPolicy(p)
		c.Commit()
		if d := plan.Compare(c.Plan(), Full(thisNode, snapshot, set)); !d.Empty() {
			t.Errorf("%s: the plan differs from one made at once:\n%s", peer, d.Text())
		}
	}
}

func named(t *testing.T, name string) policy.Peer {
	t.Helper()
	exact, err := l7.ExactName(name)
	if err != nil {
		t.Fatal(err)
	}
	return policy.Peer{Names: &policy.NameSelector{Names: []l7.Name{exact}}}
}

// TestAnEditForgetsAName that only another class still uses: the rows for those
// who have a port of that name go.
func TestAnEditForgetsAName(t *testing.T) {
	leaving := func(app string, port policy.Port) *policy.Policy {
		p := allowing(app, app)
		p.Ingress, p.Egress = nil, &policy.Rules{Isolates: true, Rules: []policy.Rule{{
			Action: policy.Allow, Peers: []policy.Peer{{Pods: &policy.PodSelector{}}}, Ports: []policy.Port{port},
		}}}
		return p
	}
	byName, byNumber := policy.Port{Protocol: traffic.TCP, Name: "http"}, policy.Port{Protocol: traffic.TCP, From: 443, To: 443}
	server := podOf("server", "server", "10.0.2.1")
	server.Ports = []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 80}}
	pods := []*cluster.Pod{podOf("web", "web", "10.0.1.1"), podOf("db", "db", "10.0.1.2"), server}
	c := compilerOf(pods, leaving("web", byName), leaving("db", byName))
	if !reaches(c.Plan(), "10.0.1.1", "10.0.2.1") {
		t.Fatal("the name is not resolved")
	}
	c.SetPolicy(leaving("web", byNumber))
	c.Commit()
	if reaches(c.Plan(), "10.0.1.1", "10.0.2.1") || !reaches(c.Plan(), "10.0.1.2", "10.0.2.1") {
		t.Error("what the name stood for is still open, or closed for the other")
	}
}
