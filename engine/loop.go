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
	whole    bool       // the kernel is to be brought to the whole plan
	revoke   plan.Scope // live connections that were not looked at yet
}

func (e *Engine) run(ctx context.Context) {
	defer close(e.done)
	w := &worker{Options: e.options, compiler: compile.New(e.options.Node), whole: true}
	w.index = plan.NewIndex(w.compiler.Plan())
	var changed <-chan struct{}
	if watcher, ok := e.options.Dataplane.(dataplane.Watcher); ok {
		changed = watcher.Changed()
	}
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			e.fail(ErrClosed)
			return
		case <-changed:
			w.Log.Warn("somebody else changed the tables; putting them back")
			w.whole = true
		case <-retry:
		case <-e.wake:
		}
		retry = nil
		if err := e.turn(ctx, w); err != nil && ctx.Err() == nil {
			w.Log.Error("tables are not up to date", "node", w.Node, "error", err, "retry", w.RetryAfter)
			retry = time.After(w.RetryAfter)
		}
	}
}

// turn takes what was told since the last and puts it into force.
func (e *Engine) turn(ctx context.Context, w *worker) error {
	e.mu.Lock()
	changes, waiting, views, ready := e.pending, e.waiting, e.views, e.ready
	e.pending = nil
	if ready {
		e.waiting, e.views = nil, nil
	}
	e.mu.Unlock()
	for _, change := range changes {
		change(w.compiler)
	}
	if !ready {
		return nil
	}
	err := w.commit(ctx)
	for _, view := range views {
		view(w.compiler.Plan())
	}
	for _, answer := range waiting {
		answer <- err
	}
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
	e.waiting = nil
}

// commit compiles, changes the kernel and then cuts connections: in this order,
// since a packet that the old tables judge after the cut would open the
// connection again.
func (w *worker) commit(ctx context.Context) error {
	start := time.Now()
	diff := w.compiler.Commit()
	w.index.Update(diff)
	compiled := time.Now()
	if err := w.enforce(ctx, diff); err != nil {
		return err
	}
	enforced := time.Now()
	if w.Connections == nil || w.revoke.Empty() {
		w.report(diff, slog.Duration("compile", compiled.Sub(start)), slog.Duration("kernel", enforced.Sub(compiled)))
		return nil
	}
	count, err := w.Connections.Revoke(ctx, w.compiler.Plan(), w.index, w.revoke)
	if err != nil {
		w.revoke = plan.Scope{All: true}
		return fmt.Errorf("end connections that are no longer allowed: %w", err)
	}
	w.revoke = plan.Scope{}
	w.report(diff, slog.Duration("compile", compiled.Sub(start)), slog.Duration("kernel", enforced.Sub(compiled)),
		slog.Duration("connections", time.Since(enforced)), slog.Int("seen", count.Seen), slog.Int("cut", count.Cut))
	return nil
}

func (w *worker) report(diff plan.Diff, attrs ...slog.Attr) {
	if diff.Empty() {
		return
	}
	attrs = append([]slog.Attr{slog.String("node", w.Node), slog.Int("entries", diff.Len())}, attrs...)
	w.Log.LogAttrs(context.Background(), slog.LevelInfo, "tables changed", attrs...)
}

// enforce changes the kernel by elements, or brings it to the whole plan if it
// is not known what the kernel has.
func (w *worker) enforce(ctx context.Context, diff plan.Diff) error {
	if !w.whole {
		if diff.Empty() {
			return nil
		}
		err := w.Dataplane.Update(ctx, diff, w.compiler.Plan())
		if err == nil {
			w.revoke = join(w.revoke, w.index.Scope(diff))
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		w.Log.Warn("tables did not take a change; comparing them as a whole", "node", w.Node, "error", err)
	}
	w.whole = true
	w.revoke = plan.Scope{All: true}
	if err := w.Dataplane.Apply(ctx, w.compiler.Plan()); err != nil {
		return fmt.Errorf("bring tables to the plan: %w", err)
	}
	w.whole = false
	return nil
}

// join is the scope of a change after one whose connections are still to be
// looked at.
func join(before, now plan.Scope) plan.Scope {
	if before.Empty() {
		return now
	}
	return plan.Scope{All: true}
}
