package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// looks are the looks at live connections that are still to come. After each
// change there are two: one at once, and a second when no packet is left that the
// tables judged before, which a grace period of some ten milliseconds makes sure
// of. Reading the connections takes as long again. The engine goes on with other
// changes meanwhile; those wait for the next grace period.
type looks struct {
	first   plan.Scope   // changed, and not looked at yet
	due     look         // after the grace period that is running, or is over if ripe
	young   look         // after the next
	running bool         // due is not empty
	ripe    bool         // the grace period is over
	settled chan error   // gets a value when it is
	reading bool         // connections are being read
	read    chan reading // gets them
}

// look is a second look: at which connections, and who waits for it.
type look struct {
	scope   plan.Scope
	waiting []chan error
}

// reading is what was read, for a second look perhaps.
type reading struct {
	scope  plan.Scope
	second bool
	conns  []conntrack.Conn
	err    error
}

// answer lets who waits know of an error at once, and of success after the
// second look at all that was changed before.
func (l *looks) answer(err error, waiting []chan error) {
	switch {
	case err == nil && !l.young.scope.Empty():
		l.young.waiting = append(l.young.waiting, waiting...)
	case err == nil && l.running:
		l.due.waiting = append(l.due.waiting, waiting...)
	default:
		for _, answer := range waiting {
			answer <- err
		}
	}
}

// settle begins a grace period if one is needed and the last one's look is over.
func (l *looks) settle(ctx context.Context) {
	if l.running || l.young.scope.Empty() {
		return
	}
	l.due, l.young, l.running, l.ripe = l.young, look{}, true, false
	go func() { l.settled <- conntrack.Settle(ctx) }()
}

// close answers who still waits, and waits for what is running to end.
func (l *looks) close() {
	if l.running && !l.ripe {
		<-l.settled
	}
	if l.reading {
		<-l.read
	}
	for _, answer := range append(l.due.waiting, l.young.waiting...) {
		answer <- ErrClosed
	}
}

// settled begins the second look.
func (w *worker) settled(ctx context.Context, err error) error {
	if err != nil {
		return w.looked(ctx, err)
	}
	w.looks.ripe = true
	w.look(ctx)
	return nil
}

// look begins to read the connections that are to be looked at, if there are any
// and nobody reads. What is read from now on serves both looks.
func (w *worker) look(ctx context.Context) {
	l := &w.looks
	r := reading{scope: l.first, second: l.ripe}
	if r.second {
		r.scope = join(r.scope, l.due.scope)
	}
	if l.reading || r.scope.Empty() {
		return
	}
	l.first, l.reading = plan.Scope{}, true
	find := w.Connections.Find(w.compiler.Plan(), r.scope)
	go func() {
		r.conns, r.err = find(ctx)
		l.read <- r
	}()
}

// cut ends the connections that were read and are not allowed.
func (w *worker) cut(ctx context.Context, r reading) error {
	w.looks.reading = false
	err := r.err
	if err == nil {
		var count conntrack.Count
		count, err = w.Connections.Cut(ctx, w.compiler.Plan(), w.index, r.scope, r.conns)
		if count.Cut > 0 {
			w.Log.Info("connections are no longer allowed", "node", w.Node, "seen", count.Seen, "cut", count.Cut)
		}
	}
	switch {
	case r.second:
		err = w.looked(ctx, err)
	case err != nil:
		err = w.unlooked(err)
	}
	w.look(ctx)
	return err
}

// looked ends the second look, and begins the next one's grace period.
func (w *worker) looked(ctx context.Context, err error) error {
	if err != nil {
		err = w.unlooked(err)
	}
	due := w.looks.due
	w.looks.due, w.looks.running, w.looks.ripe = look{}, false, false
	w.looks.settle(ctx)
	err = errors.Join(err, w.trust(ctx))
	for _, answer := range due.waiting {
		answer <- err
	}
	return err
}

// unlooked has the next turn look at all connections.
func (w *worker) unlooked(err error) error {
	w.whole = true
	return fmt.Errorf("end connections that are no longer allowed: %w", err)
}

// join is what two scopes are about, or more.
func join(a, b plan.Scope) plan.Scope {
	switch {
	case a.Empty():
		return b
	case b.Empty():
		return a
	}
	return plan.Scope{All: true}
}
