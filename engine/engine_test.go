package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane/fake"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// looker notes the scopes that it is asked to look at.
type looker struct {
	mu     sync.Mutex
	scopes []plan.Scope
	fail   func() error
	hold   chan struct{} // reading waits until it is closed; nil: it does not
}

func (l *looker) Find(_ *plan.Plan, scope plan.Scope) func(context.Context) ([]conntrack.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scopes = append(l.scopes, scope)
	return func(context.Context) ([]conntrack.Conn, error) {
		if l.hold != nil {
			<-l.hold
		}
		return nil, l.failure()
	}
}

func (l *looker) Cut(context.Context, *plan.Plan, *plan.Index, plan.Scope, []conntrack.Conn) (conntrack.Count, error) {
	return conntrack.Count{}, l.failure()
}

func (l *looker) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail == nil {
		return nil
	}
	return l.fail()
}

func (l *looker) seen() []plan.Scope {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.scopes)
}

func start(t *testing.T, d *fake.Dataplane, l *looker) *Engine {
	t.Helper()
	options := Options{Node: "node-0", Dataplane: d, RetryAfter: time.Millisecond}
	if l != nil {
		options.Connections = l
	}
	e := New(options)
	t.Cleanup(e.Close)
	return e
}

func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return gen.Source(seed, 0)
}

// compiled is a world's plan from scratch.
func compiled(w *gen.World) *plan.Plan {
	c := compile.New("node-0")
	for _, change := range gen.Between(gen.New(nil, gen.Shape{}), w) {
		change(c)
	}
	c.Commit()
	return c.Plan()
}

func wantPlan(t *testing.T, got, want *plan.Plan) {
	t.Helper()
	if got == nil {
		t.Fatal("nothing is in force")
	}
	if diff := plan.Compare(got, want); !diff.Empty() {
		t.Fatalf("what is in force differs from what should be by %d entries", diff.Len())
	}
}

func await(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestSyncBringsTheWholeCluster(t *testing.T) {
	r := newRand(t)
	d := fake.New(nil)
	e := start(t, d, nil)
	w := gen.New(r, gen.Small)
	for range 20 {
		if err := e.Sync(context.Background(), w.Snapshot, w.Set); err != nil {
			t.Fatal(err)
		}
		wantPlan(t, d.Plan(), compiled(w))
		next := w.Clone()
		for _, change := range gen.Changes(r, gen.Small, w, 5) {
			change(next)
		}
		w = next
	}
	if n := count(d.Calls(), fake.Apply); n != 1 {
		t.Errorf("the tables were compared as a whole %d times, want once", n)
	}
}

func count(calls []fake.Call, call fake.Call) int {
	n := 0
	for _, c := range calls {
		if c == call {
			n++
		}
	}
	return n
}

func TestChangesInAnyOrderEndAlike(t *testing.T) {
	r := newRand(t)
	w := gen.New(r, gen.Small)
	changes := gen.Between(gen.New(nil, gen.Shape{}), w)
	want := compiled(w)
	for name, run := range map[string]func(*Engine, []gen.Change){
		"at once": func(e *Engine, changes []gen.Change) {
			for _, change := range changes {
				change(e)
			}
		},
		"one by one": func(e *Engine, changes []gen.Change) {
			for _, change := range changes {
				change(e)
				await(t, e)
			}
		},
		"reversed": func(e *Engine, changes []gen.Change) {
			for _, change := range slices.Backward(changes) {
				change(e)
				await(t, e)
			}
		},
		"twice": func(e *Engine, changes []gen.Change) {
			for _, change := range append(changes, changes...) {
				change(e)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := fake.New(nil)
			e := start(t, d, nil)
			e.Ready()
			run(e, changes)
			await(t, e)
			wantPlan(t, d.Plan(), want)
		})
	}
}

func TestNothingIsEnforcedBeforeReady(t *testing.T) {
	d := fake.New(nil)
	e := start(t, d, nil)
	w := gen.New(newRand(t), gen.Small)
	for _, change := range gen.Between(gen.New(nil, gen.Shape{}), w) {
		change(e)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := e.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waiting before Ready: %v", err)
	}
	if calls := d.Calls(); len(calls) > 0 {
		t.Fatalf("the dataplane was asked for %v", calls)
	}
	e.Ready()
	await(t, e)
	wantPlan(t, d.Plan(), compiled(w))
}

// TestFailuresAreMendedAlone injects errors at random: whatever fails, in the
// end the plan is in force without anybody asking again.
func TestFailuresAreMendedAlone(t *testing.T) {
	r := newRand(t)
	failures := rand.New(rand.NewPCG(r.Uint64(), 0))
	fail := func(call fake.Call) error {
		if call != fake.Close && failures.IntN(2) == 0 {
			return errors.New("injected")
		}
		return nil
	}
	d := fake.New(fail)
	l := &looker{fail: func() error { return fail("revoke") }}
	e := start(t, d, l)
	w := gen.New(r, gen.Small)
	for range 20 {
		_ = e.Sync(context.Background(), w.Snapshot, w.Set) // may fail
		next := w.Clone()
		for _, change := range gen.Changes(r, gen.Small, w, 3) {
			change(next)
		}
		w = next
	}
	_ = e.Sync(context.Background(), w.Snapshot, w.Set)
	want := compiled(w)
	eventually(t, "the plan is in force", func() bool {
		got := d.Plan()
		return got != nil && plan.Compare(got, want).Empty()
	})
	// The last word on connections is a look at all of them that did not fail.
	eventually(t, "waiting succeeds", func() bool { return e.Wait(context.Background()) == nil })
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

func TestWaitTellsOfTheFailure(t *testing.T) {
	injected := errors.New("injected")
	var broken sync.Map
	broken.Store("now", true)
	d := fake.New(func(fake.Call) error {
		if _, now := broken.Load("now"); now {
			return injected
		}
		return nil
	})
	e := start(t, d, nil)
	w := gen.New(newRand(t), gen.Small)
	err := e.Sync(context.Background(), w.Snapshot, w.Set)
	if !errors.Is(err, injected) || !strings.Contains(err.Error(), "sync node node-0") {
		t.Fatalf("error %v", err)
	}
	broken.Delete("now")
	eventually(t, "the plan is in force", func() bool { return d.Plan() != nil })
	wantPlan(t, d.Plan(), compiled(w))
}

func TestDamageIsRepaired(t *testing.T) {
	d := fake.New(nil)
	l := &looker{}
	e := start(t, d, l)
	w := gen.New(newRand(t), gen.Small)
	if err := e.Sync(context.Background(), w.Snapshot, w.Set); err != nil {
		t.Fatal(err)
	}
	before := len(l.seen())
	d.Damage()
	eventually(t, "the plan is in force", func() bool { return d.Plan() != nil })
	await(t, e)
	wantPlan(t, d.Plan(), compiled(w))
	if seen := l.seen()[before:]; len(seen) == 0 || !seen[0].All {
		t.Errorf("after the damage connections were looked at in %+v, want all", seen)
	}
}

// TestSecondLook: who waits gets the answer after two looks at the same
// connections, and a change that denies nothing has none.
func TestSecondLook(t *testing.T) {
	d := fake.New(nil)
	l := &looker{}
	e := start(t, d, l)
	r := newRand(t)
	w := gen.New(r, gen.Small)
	ctx := context.Background()
	if err := e.Sync(ctx, w.Snapshot, w.Set); err != nil {
		t.Fatal(err)
	}
	if seen := l.seen(); len(seen) != 2 || !seen[0].All || !seen[1].All {
		t.Fatalf("first sync: looks at %+v, want two at all connections", seen)
	}
	for range 50 {
		before := len(l.seen())
		next := w.Clone()
		for _, change := range gen.Changes(r, gen.Small, w, 1) {
			change(next)
		}
		diff := plan.Compare(compiled(w), compiled(next))
		index := plan.NewIndex(compiled(next))
		var want string
		if scope := index.Scope(diff); !scope.Empty() {
			want = describe(scope, scope)
		}
		w = next
		if err := e.Sync(ctx, w.Snapshot, w.Set); err != nil {
			t.Fatal(err)
		}
		if got := describe(l.seen()[before:]...); got != want {
			t.Fatalf("looks at %s, want %s", got, want)
		}
	}
}

// TestChangesDoNotWaitForLooks: while connections are read, which takes the
// kernel long, changes go into force; then what they concern is looked at too.
func TestChangesDoNotWaitForLooks(t *testing.T) {
	d := fake.New(nil)
	l := &looker{hold: make(chan struct{})}
	e := start(t, d, l)
	r := newRand(t)
	w := gen.New(r, gen.Small)
	for _, change := range gen.Between(gen.New(nil, gen.Shape{}), w) {
		change(e)
	}
	e.Ready()
	eventually(t, "the first plan is in force", func() bool { return d.Plan() != nil })
	eventually(t, "connections are looked at", func() bool { return len(l.seen()) == 1 })
	for _, change := range gen.Changes(r, gen.Small, w, 30) {
		change(w)
		change(e)
		want := compiled(w)
		eventually(t, "a change is in force", func() bool { return plan.Text(d.Plan()) == plan.Text(want) })
	}
	if n := len(l.seen()); n != 1 {
		t.Errorf("%d looks at a time", n)
	}
	close(l.hold)
	await(t, e)
	if seen := l.seen(); len(seen) < 3 {
		t.Errorf("after the changes connections were looked at in %+v", seen)
	}
}

func describe(scopes ...plan.Scope) string {
	var b strings.Builder
	for _, s := range scopes {
		slices.SortFunc(s.Ranges, plan.Range.Compare) // their order is not fixed
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func TestViewShowsThePlanInForce(t *testing.T) {
	e := start(t, fake.New(nil), nil)
	w := gen.New(newRand(t), gen.Small)
	if err := e.Sync(context.Background(), w.Snapshot, w.Set); err != nil {
		t.Fatal(err)
	}
	want := compiled(w)
	if err := e.View(context.Background(), func(p *plan.Plan) { wantPlan(t, p, want) }); err != nil {
		t.Fatal(err)
	}
}

func TestClosedEngineAnswers(t *testing.T) {
	d := fake.New(nil)
	e := New(Options{Node: "node-0", Dataplane: d})
	waiting := make(chan error)
	go func() { waiting <- e.Wait(context.Background()) }() // not ready, so it waits
	e.Close()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("waiting: %v", err)
	}
	if err := e.Wait(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("waiting after the end: %v", err)
	}
}
