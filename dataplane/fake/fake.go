// Package fake is a dataplane in memory, which holds a plan to what the contract
// says and fails when a test wants it to.
//
// A Dataplane may be used by several goroutines.
package fake

import (
	"context"
	"fmt"
	"sync"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/plan"
)

var (
	_ dataplane.Dataplane = (*Dataplane)(nil)
	_ dataplane.Watcher   = (*Dataplane)(nil)
)

// Call is what the dataplane was asked for.
type Call string

// The calls.
const (
	Apply  Call = "apply"
	Update Call = "update"
	Close  Call = "close"
)

// Dataplane is a plan in memory.
type Dataplane struct {
	mu      sync.Mutex
	plan    *plan.Plan // nil: nothing is enforced
	calls   []Call
	fail    func(Call) error
	changed chan struct{}
}

// New is a dataplane that enforces nothing yet. fail may be nil; an error that
// it returns is the call's, which then does nothing.
func New(fail func(Call) error) *Dataplane {
	if fail == nil {
		fail = func(Call) error { return nil }
	}
	return &Dataplane{fail: fail, changed: make(chan struct{}, 1)}
}

func (d *Dataplane) begin(call Call) error {
	d.calls = append(d.calls, call)
	return d.fail(call)
}

// Apply takes the whole plan.
func (d *Dataplane) Apply(_ context.Context, desired *plan.Plan) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Apply); err != nil {
		return err
	}
	d.plan = plan.New(desired.Node)
	plan.Compare(d.plan, desired).Apply(d.plan)
	return nil
}

// Update takes a diff, which must lead from the plan that is in force to the
// desired one.
func (d *Dataplane) Update(_ context.Context, diff plan.Diff, desired *plan.Plan) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Update); err != nil {
		return err
	}
	if d.plan == nil {
		return fmt.Errorf("update before the first apply")
	}
	next := plan.New(d.plan.Node)
	plan.Compare(next, d.plan).Apply(next)
	diff.Apply(next)
	if rest := plan.Compare(next, desired); !rest.Empty() {
		return fmt.Errorf("the diff does not lead to the plan: %d entries are missing", rest.Len())
	}
	d.plan = next
	return nil
}

// Close leaves the plan in force.
func (d *Dataplane) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.begin(Close)
}

// Changed gets a value from Damage.
func (d *Dataplane) Changed() <-chan struct{} { return d.changed }

// Damage takes everything out of force, as somebody else might, and says so.
func (d *Dataplane) Damage() {
	d.mu.Lock()
	d.plan = nil
	d.mu.Unlock()
	d.changed <- struct{}{}
}

// Plan is what is in force, nil for nothing. It is the caller's to read.
func (d *Dataplane) Plan() *plan.Plan {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plan
}

// Calls are all calls so far.
func (d *Dataplane) Calls() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Call{}, d.calls...)
}
