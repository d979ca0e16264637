package engine

import (
	"context"
	"net/netip"
	"sync"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// judge answers for the plan from any goroutine. It has an index of its own,
// since one prepares itself while it is asked.
type judge struct {
	mu    sync.Mutex
	index *plan.Index // nil until the engine runs
}

func (j *judge) begin(p *plan.Plan) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.index = plan.NewIndex(p)
}

// Judgement is what the plan says of a connection to a proxy.
type Judgement struct {
	Verdict traffic.Verdict
	// Filters are what the connection may carry: each must let the content pass.
	Filters []l7.Filter
	// Learns are the selectors of names that its source learns addresses for.
	Learns []l7.Selector
}

// Judge judges a connection by the newest plan, which the kernel may get a moment
// later. It takes microseconds, unless a large change is just being compiled.
func (e *Engine) Judge(p plan.Packet) Judgement {
	e.judge.mu.Lock()
	defer e.judge.mu.Unlock()
	x := e.judge.index
	if x == nil {
		return Judgement{}
	}
	return Judgement{Verdict: x.Trace(p), Filters: x.Filters(p), Learns: x.Learns(p.From)}
}

// Learn says which addresses the names have that selectors pick, by their keys,
// as SetLearned does. Calls count in their order; the function that is returned
// waits until the kernel has it.
func (e *Engine) Learn(learned map[string][]netip.Addr) (wait func(context.Context) error) {
	answer := make(chan error, 1)
	e.mu.Lock()
	if e.closed {
		answer <- ErrClosed
	} else {
		for key, addrs := range learned {
			e.pending = append(e.pending, func(c *compile.Compiler) { c.SetLearned(key, addrs) })
		}
		e.applied = append(e.applied, answer)
	}
	e.mu.Unlock()
	e.notify()
	return func(ctx context.Context) error {
		select {
		case err := <-answer:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
