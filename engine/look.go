package engine

import (
	"context"

	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// looks are the second looks at live connections that are still to come. A
// grace period takes some ten milliseconds, in which the engine goes on with
// other changes; those wait for the next grace period.
type looks struct {
	due     look       // after the grace period that is running, if one is
	young   look       // after the next
	running bool       // a grace period is
	settled chan error // gets a value when it is over
}

// look is a second look: at which connections, and who waits for it.
type look struct {
	scope   plan.Scope
	waiting []chan error
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

// settle begins a grace period if one is needed and none is running.
func (l *looks) settle(ctx context.Context) {
	if l.running = !l.due.scope.Empty(); l.running || l.young.scope.Empty() {
		return
	}
	l.due, l.young, l.running = l.young, look{}, true
	go func() { l.settled <- conntrack.Settle(ctx) }()
}

// close answers who still waits, and waits for the grace period to end.
func (l *looks) close() {
	if l.running {
		<-l.settled
	}
	for _, answer := range append(l.due.waiting, l.young.waiting...) {
		answer <- ErrClosed
	}
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
