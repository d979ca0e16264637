package engine

import (
	"context"
	"fmt"
	"log/slog"
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
	w.index, w.judge = plan.NewIndex(w.compiler.Plan()), &e.judge
	w.judge.begin(w.compiler.Plan())
	w.looks.settled = make(chan error, 1)
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
			err = w.lookAgain(ctx, err)
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

// commit compiles, changes the kernel and then cuts connections: in this order,
// since a packet that the old tables judge after the cut would open the
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
	seen, cut, err := w.look(ctx, scope)
	if err != nil {
		return err
	}
	if !diff.Empty() {
		w.Log.Info("tables changed", "node", w.Node, "entries", diff.Len(),
			"compile", compiled.Sub(start), "kernel", enforced.Sub(compiled),
			"connections", time.Since(enforced), "seen", seen, "cut", cut)
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
		err := w.Dataplane.Update(ctx, diff, w.compiler.Plan())
		if err == nil {
			return w.index.Scope(diff), nil
		}
		w.Log.Warn("tables did not take a change; comparing them as a whole", "node", w.Node, "error", err)
	}
	w.whole = true
	if err := w.Dataplane.Apply(ctx, w.compiler.Plan()); err != nil {
		return plan.Scope{}, fmt.Errorf("bring tables to the plan: %w", err)
	}
	w.whole = false
	return plan.Scope{All: true}, nil
}

// look cuts connections a first time; the second look waits until no packet is
// left that the tables judged before.
func (w *worker) look(ctx context.Context, scope plan.Scope) (seen, cut int, err error) {
	if w.Connections == nil || scope.Empty() {
		return 0, 0, nil
	}
	w.looks.young.scope = join(w.looks.young.scope, scope)
	count, err := w.Connections.Revoke(ctx, w.compiler.Plan(), w.index, scope)
	if err != nil {
		w.whole = true // so that the next turn looks at all connections
		return 0, 0, fmt.Errorf("end connections that are no longer allowed: %w", err)
	}
	return count.Seen, count.Cut, nil
}

// lookAgain is the second look, at what was due when the grace period began.
func (w *worker) lookAgain(ctx context.Context, err error) error {
	due := w.looks.due
	w.looks.due = look{}
	if err == nil {
		count, revokeErr := w.Connections.Revoke(ctx, w.compiler.Plan(), w.index, due.scope)
		if err = revokeErr; count.Cut > 0 {
			w.Log.Log(ctx, slog.LevelDebug, "connections cut at the second look", "node", w.Node, "cut", count.Cut)
		}
	}
	if err != nil {
		w.whole = true
		err = fmt.Errorf("end connections that are no longer allowed: %w", err)
	}
	for _, answer := range due.waiting {
		answer <- err
	}
	w.looks.settle(ctx)
	return err
}
