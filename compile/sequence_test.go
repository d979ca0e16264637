package compile

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// thisNode is the node that plans are made for.
const thisNode = "node-0"

// crowd makes a compiler's numbers so short that they collide all the time.
func crowd(c *Compiler) *Compiler {
	c.groupNames.number = short[plan.PeerID](511)
	c.classNames.number = short[plan.ClassID](127)
	return c
}

// crowdAndHold holds some of the pods' and nodes' addresses of both families,
// by ranges inside each other too.
func crowdAndHold(c *Compiler) *Compiler {
	c.Hold([]netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.8/29"),
		netip.MustParsePrefix("192.168.0.0/30"), netip.MustParsePrefix("fd00:1::/64"),
	})
	return crowd(c)
}

func short[K ~uint32](mask K) func([sha256.Size]byte, uint32) K {
	return func(sum [sha256.Size]byte, n uint32) K { return number[K](sum, n) & mask }
}

func whole(c *Compiler) *Compiler { return c }

// full is the plan of a world that a new compiler makes.
func full(w *gen.World, kind func(*Compiler) *Compiler) *plan.Plan {
	c := kind(New(thisNode))
	c.SetAll(w.Snapshot, w.Set)
	c.Commit()
	return c.Plan()
}

func mustClone(t *testing.T, p *plan.Plan) *plan.Plan {
	t.Helper()
	c, err := plan.Parse(plan.Text(p))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// check compares the plan with that of a new compiler.
func check(t *testing.T, c *Compiler, w *gen.World, kind func(*Compiler) *Compiler) {
	t.Helper()
	if d := plan.Compare(full(w, kind), c.Plan()); !d.Empty() {
		t.Fatalf("the plan differs from one made at once:\n%s", d.Text())
	}
}

// sequences runs a test on random worlds of every kind with changes to them.
func sequences(t *testing.T, n int, test func(t *testing.T, kind func(*Compiler) *Compiler, r *rand.Rand, w *gen.World, changes []gen.Change)) {
	for name, kind := range map[string]func(*Compiler) *Compiler{"numbers": whole, "crowded numbers and held addresses": crowdAndHold} {
		for _, shape := range []struct {
			name string
			gen.Shape
		}{
			{"NetworkPolicy", gen.Small},
			{"general", gen.Shape{Nodes: 3, Namespaces: 4, Pods: 24, Policies: 12, General: true}},
			{"mixed", gen.Shape{Nodes: 3, Namespaces: 4, Pods: 24, Policies: 12, Mixed: true}},
			{"content", content(gen.Small)},
			{"disputed", gen.Shape{Nodes: 3, Namespaces: 3, Pods: 20, Policies: 12, General: true, Disputed: true}},
		} {
			t.Run(name+"/"+shape.name, func(t *testing.T) {
				for i := range n {
					r := gen.Source(*seed, i)
					w := gen.New(r, shape.Shape)
					changes := gen.Changes(r, shape.Shape, w, 30)
					test(t, kind, r, w, changes)
				}
			})
		}
	}
}

func TestEveryCommitGivesThePlanOfTheWholeAndItsDiff(t *testing.T) {
	sequences(t, 12, func(t *testing.T, kind func(*Compiler) *Compiler, _ *rand.Rand, w *gen.World, changes []gen.Change) {
		c := kind(New(thisNode))
		c.SetAll(w.Snapshot, w.Set)
		c.Commit()
		for _, change := range changes {
			before := mustClone(t, c.Plan())
			change(w)
			change(c)
			d := c.Commit()
			check(t, c, w, kind)
			if want := plan.Compare(before, c.Plan()); d.Text() != want.Text() || d.Len() != want.Len() {
				t.Fatalf("the diff is\n%s\nand the plans differ by\n%s", d.Text(), want.Text())
			}
			d.Apply(before)
			if plan.Text(before) != plan.Text(c.Plan()) {
				t.Fatalf("the diff does not give the new plan:\n%s", d.Text())
			}
			if again := c.Commit(); !again.Empty() {
				t.Fatalf("a commit of nothing changes\n%s", again.Text())
			}
		}
	})
}

func TestOrderAndHistoryDoNotMatter(t *testing.T) {
	sequences(t, 15, func(t *testing.T, kind func(*Compiler) *Compiler, r *rand.Rand, w *gen.World, changes []gen.Change) {
		after := w.Clone()
		for _, change := range changes {
			change(after)
		}
		needed := gen.Between(w, after)
		backwards := slices.Clone(needed)
		slices.Reverse(backwards)
		shuffled := slices.Clone(needed)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		twice := slices.Concat(needed, shuffled)
		detour := slices.Concat(changes, gen.Between(after, w), changes)
		for name, list := range map[string][]gen.Change{
			"as it happened": changes, "needed": needed, "backwards": backwards, "shuffled": shuffled, "twice": twice, "there and back and there": detour,
		} {
			for _, pace := range []int{1, 7, len(list) + 1} {
				c := kind(New(thisNode))
				c.SetAll(w.Snapshot, w.Set)
				c.Commit()
				for i, change := range list {
					change(c)
					if i%pace == pace-1 {
						c.Commit()
					}
				}
				c.Commit()
				if d := plan.Compare(full(after, kind), c.Plan()); !d.Empty() {
					t.Fatalf("%s, commit every %d:\n%s", name, pace, d.Text())
				}
			}
		}
	})
}

func TestARestartInTheMiddleDoesNotMatter(t *testing.T) {
	sequences(t, 40, func(t *testing.T, kind func(*Compiler) *Compiler, r *rand.Rand, w *gen.World, changes []gen.Change) {
		at := r.IntN(len(changes))
		c := kind(New(thisNode))
		for i, change := range changes {
			if i == at {
				c = kind(New(thisNode))
				c.SetAll(w.Snapshot, w.Set)
			}
			change(w)
			change(c)
			c.Commit()
		}
		check(t, c, w, kind)
	})
}

func TestWhatIsGoneLeavesNothingBehind(t *testing.T) {
	sequences(t, 10, func(t *testing.T, kind func(*Compiler) *Compiler, _ *rand.Rand, w *gen.World, changes []gen.Change) {
		c := kind(New(thisNode))
		c.SetAll(w.Snapshot, w.Set)
		c.Commit()
		for _, change := range changes {
			change(w)
			change(c)
		}
		c.Commit()
		nothing := &gen.World{Snapshot: cluster.NewSnapshot(), Set: &policy.Set{}}
		for _, change := range gen.Between(w, nothing) {
			change(c)
		}
		c.Commit()
		check(t, c, nothing, kind)
		left := map[string]int{
			"namespaces": len(c.namespaces), "pods": len(c.pods), "nodes": len(c.nodes), "policies": len(c.policies),
			"tiers": len(c.tiers), "tier places": len(c.tierPlace), "subjects": len(c.subjects.at), "shelves": len(c.shelves.byTerm),
			"sets": len(c.sets), "locals": len(c.locals), "addresses": len(c.addresses.byAddr), "near": len(c.addresses.near),
			"matchers": len(c.matchers), "selectors": len(c.selectors.at), "ports": len(c.ports), "idle": len(c.idle),
			"nets": len(c.nets.nodes), "root": len(c.nets.root.children), "groups": len(c.groups), "classes": len(c.classes),
			"accounts": len(c.accounts), "networks": len(c.networks), "node matchers": len(c.nodeMatchers), "network matchers": len(c.networkMatchers), "endpoints": len(c.endpoints), "service matchers": len(c.serviceMatchers), "port rules": len(c.portRules),
			"group names": len(c.groupNames.first) + len(c.groupNames.given) + len(c.groupNames.crowded) + len(c.groupNames.fresh),
			"class names": len(c.classNames.first) + len(c.classNames.given) + len(c.classNames.crowded) + len(c.classNames.fresh),
		}
		for what, n := range left {
			if n > 0 {
				t.Errorf("%d %s are left", n, what)
			}
		}
	})
}
