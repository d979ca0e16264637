// Package engine keeps one node's kernel at what the cluster and its policies
// ask for: it compiles changes, puts them into the dataplane, and then ends the
// live connections that are no longer allowed.
//
// Changes are told one by one, as an API server tells them, or as a whole
// cluster with Sync. They are collected while the engine is busy and go into the
// kernel together, in one transaction: a pod is isolated in the same moment in
// which what it may still do is allowed. Nothing is put into the kernel before
// the first Sync or Ready, so that a start does not open or close what only was
// not told yet.
//
// What fails is tried again, as a whole, until it succeeds. Close stops the
// engine and leaves the kernel enforcing the last state.
//
// An Engine owns its goroutine, the compiler in it and nothing else; its methods
// may be called by several goroutines. Objects that it is told of must not
// change afterwards.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Connections ends live connections; package conntrack does.
type Connections interface {
	// Find prepares to read those in a scope. The engine goes on with other
	// changes while they are read, and reads one at a time.
	Find(p *plan.Plan, scope plan.Scope) func(context.Context) ([]conntrack.Conn, error)
	// Cut ends those of them that the plan denies, which may be a newer one.
	Cut(ctx context.Context, p *plan.Plan, x *plan.Index, scope plan.Scope, conns []conntrack.Conn) (conntrack.Count, error)
}

var _ Connections = (*conntrack.Table)(nil)

// Options are what an engine works with. The caller closes the dataplane and
// the connections after the engine.
type Options struct {
	Node      string
	Dataplane dataplane.Dataplane
	// Connections may be nil: live connections stay as they are.
	Connections Connections
	// Audit lets through, and notes, what policies deny, but for namespaces
	// that choose otherwise.
	Audit bool
	// Failsafes stay open on hosts; nil: policy.DefaultFailsafes, or those of the
	// set that Sync tells. Keep are TCP ports that the node reaches whatever its
	// policies say.
	Failsafes  *policy.Failsafes
	Keep       []netip.AddrPort
	Log        *slog.Logger  // nil: none
	RetryAfter time.Duration // after a failure; zero: a second
	// Shared is told by whom addresses of this node's pods are claimed where
	// that has changed, nobody for one that is disputed no more. It must not wait
	// for the engine. Nil: nobody wants to know.
	Shared func(map[netip.Addr]compile.Claim)
}

// ErrClosed is the error of what was still waiting when the engine was closed.
var ErrClosed = errors.New("engine is closed")

// Engine is one node's engine.
type Engine struct {
	options Options
	stop    context.CancelFunc
	done    chan struct{}
	wake    chan struct{}

	mu      sync.Mutex
	pending []func(*compile.Compiler)
	waiting []chan error
	applied []chan error // waiting for the kernel only
	views   []func(*plan.Plan)
	ready   bool
	closed  bool

	known known // what Sync compares with
	judge judge
}

// New starts an engine.
func New(options Options) *Engine {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.RetryAfter == 0 {
		options.RetryAfter = time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{
		options: options, stop: stop,
		done: make(chan struct{}), wake: make(chan struct{}, 1), known: newKnown(),
	}
	go e.run(ctx)
	return e
}

// Close stops the engine. What is in the kernel stays.
func (e *Engine) Close() {
	e.stop()
	<-e.done
}

// Ready says that all that exists has been told, and from now on the kernel is
// to follow.
func (e *Engine) Ready() {
	e.mu.Lock()
	e.ready = true
	e.mu.Unlock()
	e.notify()
}

// Wait returns when all that was told before is in force, or with the error that
// kept it from being so. After an error the engine goes on trying.
func (e *Engine) Wait(ctx context.Context) error {
	answer := make(chan error, 1)
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.waiting = append(e.waiting, answer)
	e.mu.Unlock()
	e.notify()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// View lets a function read the plan in force. The plan is not the function's
// to keep.
func (e *Engine) View(ctx context.Context, f func(*plan.Plan)) error {
	e.mu.Lock()
	e.views = append(e.views, f)
	e.mu.Unlock()
	return e.Wait(ctx)
}

func (e *Engine) tell(changes ...func(*compile.Compiler)) {
	e.mu.Lock()
	e.pending = append(e.pending, changes...)
	e.mu.Unlock()
	e.notify()
}

func (e *Engine) notify() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
