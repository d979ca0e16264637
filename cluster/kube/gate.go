package kube

import (
	"context"
	"sync"
)

// gate says whether a resource is to be followed. It is shut at first.
type gate struct {
	sink sink
	why  string // it is shut

	mu      sync.Mutex
	open    bool
	changed chan struct{} // closed and replaced at every change
}

func newGate(s sink, why string) *gate {
	g := &gate{sink: s, why: why, changed: make(chan struct{})}
	s.ended(why)
	return g
}

// set returns when the sink knows of an opening. Of a shutting it learns later,
// from left.
func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == open {
		return
	}
	g.open = open
	if open {
		g.sink.begun()
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// wait waits until the gate is as wanted; false: the context ended before.
func (g *gate) wait(ctx context.Context, open bool) bool {
	for ctx.Err() == nil {
		g.mu.Lock()
		now, changed := g.open, g.changed
		g.mu.Unlock()
		if now == open {
			return true
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return false
}

// left says that nobody follows any more.
func (g *gate) left() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sink.ended(g.why)
	if g.open { // again
		g.sink.begun()
	}
}
