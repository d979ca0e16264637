package agent

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/conntrack"
	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// recorder stands between the engine and the kernel and remembers what came of
// each change.
type recorder struct {
	dataplane.Dataplane
	connections engine.Connections
	metrics     *metrics

	mu       sync.Mutex
	state    KernelState
	finding  time.Duration // of the last Find
	locals   map[netip.Addr]localSince
	policies map[plan.ClassID][]string // of the classes in force
}

type localSince struct {
	plan.Local
	since time.Time
}

// KernelState is what is known of the kernel's tables.
type KernelState struct {
	// Changed is when they took a change last; zero: not since the agent
	// started.
	Changed time.Time `json:"changed"`
	// Failed is why they did not take the last change, so that an older state
	// is in force; empty: they did.
	Failed string `json:"failed,omitempty"`
	// FailedSince is when that began.
	FailedSince *time.Time `json:"failedSince,omitempty"`
	// Restored is how often they were brought to the whole plan after the
	// start, because somebody else changed them or they refused a change.
	Restored int `json:"restored"`
	// Cut is how many live connections were ended.
	Cut int `json:"connectionsCut"`
}

func newRecorder(inner dataplane.Dataplane, connections engine.Connections, m *metrics) *recorder {
	return &recorder{Dataplane: inner, connections: connections, metrics: m, locals: map[netip.Addr]localSince{}, policies: map[plan.ClassID][]string{}}
}

// Changed passes on what a dataplane notices. One that cannot notice never
// sends.
func (r *recorder) Changed() <-chan struct{} {
	if watcher, ok := r.Dataplane.(dataplane.Watcher); ok {
		return watcher.Changed()
	}
	return nil
}

// Doubt hands on, so that what loses its allowance stops at once.
func (r *recorder) Doubt(ctx context.Context, on bool) error {
	if doubter, ok := r.Dataplane.(dataplane.Doubter); ok {
		return doubter.Doubt(ctx, on)
	}
	return nil
}

func (r *recorder) Apply(ctx context.Context, desired *plan.Plan) error {
	start := time.Now()
	err := r.Dataplane.Apply(ctx, desired)
	r.mu.Lock()
	defer r.mu.Unlock()
	again := !r.state.Changed.IsZero()
	r.record(err, start, "whole")
	if err != nil {
		return err
	}
	if again {
		r.state.Restored++
	}
	before := r.locals
	r.locals = make(map[netip.Addr]localSince, len(desired.Local))
	for addr, local := range desired.Local {
		since := r.state.Changed
		if old, had := before[addr]; had && old.Local == local {
			since = old.since
		}
		r.locals[addr] = localSince{local, since}
	}
	for id := range r.policies {
		if _, still := desired.Classes[id]; !still {
			r.setClass(id, nil)
		}
	}
	for id, class := range desired.Classes {
		r.setClass(id, class)
	}
	return nil
}

func (r *recorder) Update(ctx context.Context, diff plan.Diff, desired *plan.Plan) error {
	if slices.ContainsFunc(slices.Collect(maps.Values(diff.Classes)), func(e plan.ClassEdit) bool { return e.New == nil }) {
		// The counters of classes that go are read for the last time. A failure
		// costs a count.
		_ = r.metrics.denied.read(ctx)
	}
	start := time.Now()
	err := r.Dataplane.Update(ctx, diff, desired)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(err, start, "change")
	if err != nil {
		return err
	}
	for addr, edit := range diff.Local {
		if edit.Has {
			r.locals[addr] = localSince{edit.New, r.state.Changed}
		} else {
			delete(r.locals, addr)
		}
	}
	for id, edit := range diff.Classes {
		r.setClass(id, edit.New)
	}
	r.metrics.elements.Add(float64(diff.Len()))
	return nil
}

// setClass remembers a class in force; nil: it is gone.
func (r *recorder) setClass(id plan.ClassID, class *plan.Class) {
	if class == nil {
		delete(r.policies, id)
		r.metrics.denied.forget(id)
		return
	}
	r.policies[id] = class.Policies
	r.metrics.denied.know(id, class)
}

func (r *recorder) record(err error, start time.Time, kind string) {
	now := time.Now()
	r.metrics.commits.WithLabelValues(kind, result(err)).Inc()
	r.metrics.commitSeconds.WithLabelValues(kind).Observe(now.Sub(start).Seconds())
	if err == nil {
		r.state.Changed, r.state.Failed, r.state.FailedSince = now, "", nil
		return
	}
	r.state.Failed = err.Error()
	if r.state.FailedSince == nil {
		r.state.FailedSince = &now
	}
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "success"
}

// Find is engine.Connections.
func (r *recorder) Find(p *plan.Plan, scope plan.Scope) func(context.Context) ([]conntrack.Conn, error) {
	find := r.connections.Find(p, scope)
	return func(ctx context.Context) ([]conntrack.Conn, error) {
		start := time.Now()
		conns, err := find(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.finding = time.Since(start)
		return conns, err
	}
}

// Cut is engine.Connections.
func (r *recorder) Cut(ctx context.Context, p *plan.Plan, x *plan.Index, scope plan.Scope, conns []conntrack.Conn) (conntrack.Count, error) {
	start := time.Now()
	count, err := r.connections.Cut(ctx, p, x, scope, conns)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metrics.cutSeconds.Observe((r.finding + time.Since(start)).Seconds())
	r.state.Cut += count.Cut
	return count, err
}

func (r *recorder) State() KernelState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// local is the classes of an address and since when it has them.
func (r *recorder) local(addr netip.Addr) (localSince, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.locals[addr]
	return l, ok
}

// policiesOf are those of a class in force.
func (r *recorder) policiesOf(id plan.ClassID) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.policies[id]
}

// isolated is how many local addresses some policy selects.
func (r *recorder) isolated() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, l := range r.locals {
		if l.Local != (plan.Local{}) {
			n++
		}
	}
	return n
}
