package nft

import (
	"context"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TestDoubt: an open connection that the plan does not allow any more goes on by
// its label, stops in both directions while labels are in doubt, and then goes
// on, since nobody has taken the label away. One that is allowed never stops.
func TestDoubt(t *testing.T) {
	for _, protocol := range streams {
		t.Run(protocol.String(), func(t *testing.T) {
			eachMode(t, func(t *testing.T, w *kerneltest.World) { doubtOf(t, w, protocol) })
		})
	}
}

func doubtOf(t *testing.T, w *kerneltest.World, protocol traffic.Protocol) {
	ctx := context.Background()
	d := open(t, w.Place("one"), Options{})
	denied := counted(t, d)
	row := func(s string) string { return s + " " + protocol.String() }
	both := w.Isolated(t, row("a egress c")+" 80", row("a egress c")+" 81")
	apply(t, d, both)
	taken := w.Connect(t, denied, protocol, "a", "c", dest(w.V4("c"), 80), 80)
	kept := w.Connect(t, denied, protocol, "a", "c", dest(w.V6("c"), 81), 81)
	taken.Passes()
	kept.Passes()
	one := w.Isolated(t, row("a egress c")+" 81")
	if err := d.Update(ctx, plan.Compare(both, one), one); err != nil {
		t.Fatal(err)
	}
	taken.Passes()
	for range 2 {
		doubt(t, d, true)
		taken.Stops()
		kept.Passes()
		apply(t, d, one) // changes nothing
		taken.Stops()
		doubt(t, d, false)
		taken.Passes()
		kept.Passes()
	}
	if n := denied(); n == 0 {
		t.Error("nothing was denied")
	}
}

func doubt(t *testing.T, d *Dataplane, on bool) {
	t.Helper()
	if err := d.Doubt(context.Background(), on); err != nil {
		t.Fatal(err)
	}
}

// TestDoubtBeforeTheFirstTable is in force with it, and taken over by a program
// that has no doubt.
func TestDoubtBeforeTheFirstTable(t *testing.T) {
	s := newSpace(t)
	d, p := open(t, s, Options{}), smallPlan()
	apply(t, d, p)
	want := tables(t, s)
	apply(t, d, plan.New("one"))
	next := open(t, s, Options{})
	doubt(t, next, true)
	apply(t, next, p)
	if tables(t, s) == want {
		t.Error("there is no doubt")
	}
	list(t, s, "flush ruleset")
	apply(t, next, p)
	if tables(t, s) == want {
		t.Error("the doubt went with the tables")
	}
	apply(t, open(t, s, Options{}), p)
	if got := tables(t, s); got != want {
		t.Errorf("table is now:\n%s\nwant:\n%s", got, want)
	}
}

// TestDoubtOfATableThatIsGone fails, and comes with the next Apply.
func TestDoubtOfATableThatIsGone(t *testing.T) {
	s := newSpace(t)
	d, p := open(t, s, Options{}), smallPlan()
	apply(t, d, p)
	want := tables(t, s)
	list(t, s, "flush ruleset")
	if err := d.Doubt(context.Background(), true); err == nil {
		t.Fatal("the kernel changed what is not there")
	}
	apply(t, d, p)
	if tables(t, s) == want {
		t.Error("there is no doubt")
	}
	doubt(t, d, false)
	if got := tables(t, s); got != want {
		t.Errorf("table is now:\n%s\nwant:\n%s", got, want)
	}
}

// BenchmarkDoubt is what it costs to begin and to end a doubt, with 100,000
// addresses and the classes of a full node.
func BenchmarkDoubt(b *testing.B) {
	d := open(b, newSpace(b), Options{})
	apply(b, d, largePlan())
	for b.Loop() {
		for _, on := range []bool{true, false} {
			if err := d.Doubt(context.Background(), on); err != nil {
				b.Fatal(err)
			}
		}
	}
}
