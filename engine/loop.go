package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// worker is what the engine's goroutine owns.
type worker struct {
	Options
	compiler *compile.Compiler
	index    *plan.Index
	whole    bool // the kernel is to be brought to the whole plan
	looks    looks
	judge    *judge
}

func (e *Engine) run(ctx context.Context) {
	defer close(e.done)
	w := &worker{Options: e.options, compiler: compile.New(e.options.Node), whole: true}
	if e.options.Audit {
		w.compiler.Audit()
	}
	w.compiler.Keep(e.options.Keep)
	if e.options.Failsafes != nil {
		w.compiler.Failsafes(*e.options.Failsafes)
	}
	w.index, w.judge = plan.NewIndex(w.compiler.Plan()), &e.judge
	w.judge.begin(w.compiler.Plan())
	w.looks.settled, w.looks.read = make(chan error, 1), make(chan reading, 1)
	var changed <-chan struct{}
	if watcher, ok := e.options.Dataplane.(dataplane.Watcher); ok {
		changed = watcher.Changed()
	}
	var retry <-chan time.Time
	for {
		var err error
		select {
		case <-ctx.Done():
			w.looks.close()
			e.fail(ErrClosed)
			return
		case err = <-w.looks.settled:
			err = w.settled(ctx, err)
		case r := <-w.looks.read:
			err = w.cut(ctx, r)
		case <-changed:
			w.Log.Warn("somebody else changed the tables; putting them back", "node", w.Node)
			w.whole = true
			err = e.turn(ctx, w)
		case <-retry:
			err = e.turn(ctx, w)
		case <-e.wake:
			err = e.turn(ctx, w)
		}
		if err != nil && ctx.Err() == nil {
			w.Log.Error("the node is not up to date", "node", w.Node, "error", err, "retry", w.RetryAfter)
			retry = time.After(w.RetryAfter)
		}
	}
}

// turn takes what was told since the last and puts it into force.
func (e *Engine) turn(ctx context.Context, w *worker) error {
	e.mu.Lock()
	changes, waiting, applied, views, ready := e.pending, e.waiting, e.applied, e.views, e.ready
	e.pending = nil
	if ready {
		e.waiting, e.applied, e.views = nil, nil, nil
	}
	e.mu.Unlock()
	for _, change := range changes {
		change(w.compiler)
	}
	if !ready {
		return nil
	}
	err := w.commit(ctx, applied)
	for _, view := range views {
		view(w.compiler.Plan())
	}
	w.looks.answer(err, waiting)
	w.looks.settle(ctx)
	return err
}

// fail answers all who wait, for good.
func (e *Engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for _, answer := range e.waiting {
		answer <- err
	}
	for _, answer := range e.applied {
		answer <- err
	}
	e.waiting, e.applied = nil, nil
}

// commit compiles, changes the kernel and then looks at connections: in this
// order, since a packet that the old tables judge after the cut would open the
// connection again.
func (w *worker) commit(ctx context.Context, applied []chan error) error {
	start := time.Now()
	diff := w.compile()
	compiled := time.Now()
	scope, err := w.enforce(ctx, diff)
	for _, answer := range applied {
		answer <- err
	}
	if err != nil {
		return err
	}
	enforced := time.Now()
	if w.Connections != nil {
		w.looks.first = join(w.looks.first, scope)
		w.looks.young.scope = join(w.looks.young.scope, scope)
		w.look(ctx)
	}
	if !diff.Empty() {
		w.Log.Info("tables changed", "node", w.Node, "entries", diff.Len(),
			"compile", compiled.Sub(start), "kernel", enforced.Sub(compiled))
	}
	return nil
}

// compile brings the plan up to date while nobody judges by it.
func (w *worker) compile() plan.Diff {
	w.judge.mu.Lock()
	defer w.judge.mu.Unlock()
	diff := w.compiler.Commit()
	w.index.Update(diff)
	w.judge.index.Update(diff)
	if news := w.compiler.Shared(); len(news) > 0 && w.Shared != nil {
		w.Shared(news)
	}
	return diff
}

// enforce changes the kernel by elements, or brings it to the whole plan if it
// is not known what the kernel has. It returns which live connections may be
// denied by that.
func (w *worker) enforce(ctx context.Context, diff plan.Diff) (plan.Scope, error) {
	if !w.whole {
		if diff.Empty() {
			return plan.Scope{}, nil
		}
		scope := w.index.Scope(diff)
		err := w.doubt(ctx, scope)
		if err == nil {
			err = w.Dataplane.Update(ctx, diff, w.compiler.Plan())
		}
		if err == nil {
			return scope, nil
		}
		w.Log.Warn("tables did not take a change; comparing them as a whole", "node", w.Node, "error", err)
	}
	w.whole = true
	if err := w.Dataplane.Apply(ctx, w.compiler.Plan()); err != nil {
		return plan.Scope{}, fmt.Errorf("bring tables to the plan: %w", err)
	}
	// Not before: tables that somebody damaged would judge what is allowed.
	if err := w.doubt(ctx, plan.Scope{All: true}); err != nil {
		return plan.Scope{}, err
	}
	w.whole = false
	return plan.Scope{All: true}, nil
}
