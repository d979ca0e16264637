package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/probe"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Measurement is what became of a connection that was tried.
type Measurement struct {
	Connection verdict.Connection
	probe.Result
}

// ErrNotMeasured marks the error of a connection that cannot be tried here, for
// which the policies are not to blame.
var ErrNotMeasured = listen.ErrUnsupported

// Verdict is what packets found, nil if none could be sent.
func (m Measurement) Verdict() *traffic.Verdict {
	if v, known := m.Outcome.Verdict(); known {
		return &v
	}
	return nil
}

// Probe tries connections of the cluster that was last applied. The results are
// in the same order. Progress may be nil.
func (l *Lab) Probe(ctx context.Context, connections []verdict.Connection, progress func(decided int)) ([]Measurement, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	probes := make([]probe.Probe, len(connections))
	for i, c := range connections {
		from, err := l.place(c.From)
		if err != nil {
			return nil, fmt.Errorf("probe %s: %w", c, err)
		}
		probes[i] = probe.Probe{From: from, Source: c.From.Addr, To: netip.AddrPortFrom(c.To.Addr, c.Port), Protocol: c.Protocol}
	}
	if err := l.lookUp(ctx); err != nil {
		return nil, fmt.Errorf("look names up: %w", err)
	}
	prober := &probe.Prober{Calm: l.calm, Progress: progress}
	results, err := prober.Run(ctx, probes)
	if err != nil {
		return nil, err
	}
	measured := make([]Measurement, len(connections))
	for i, c := range connections {
		measured[i] = Measurement{Connection: c, Result: checkAnswer(c, results[i])}
	}
	return measured, nil
}

// place is the namespace that an endpoint is in.
func (l *Lab) place(e verdict.Endpoint) (*space.Space, error) {
	var s *space.Space
	switch {
	case e.Pod != nil:
		s = l.net.Pod(e.Pod.Name)
	case e.Node != "":
		s = l.net.Node(e.Node)
	default:
		s = l.net.Outside()
	}
	if s == nil {
		return nil, fmt.Errorf("%s is not in the lab", e)
	}
	return s, nil
}

// checkAnswer does not let somebody else's answer pass for the one that was
// asked. Pods on one node's network may have to answer for each other.
func checkAnswer(c verdict.Connection, r probe.Result) probe.Result {
	if r.Answer == "" || c.To.Pod == nil || c.To.Pod.HostNetwork || strings.HasPrefix(r.Answer, c.To.String()+" ") {
		return r
	}
	return probe.Result{Err: fmt.Errorf("somebody else answered: %q", r.Answer)}
}

// calm returns when no packet is under way and every datagram is answered.
func (l *Lab) calm(ctx context.Context) error {
	if err := l.net.Drain(ctx); err != nil {
		return err
	}
	if err := l.awaitIdle(ctx); err != nil {
		return err
	}
	return l.net.Drain(ctx)
}

// idleCheck is how often listeners that are at work are looked at.
const idleCheck = time.Millisecond

func (l *Lab) awaitIdle(ctx context.Context) error {
	var waiting []interface{ idle() (bool, error) }
	for _, p := range l.pods {
		if p.ports != nil {
			waiting = append(waiting, p.ports)
		}
	}
	for _, n := range l.nodes {
		waiting = append(waiting, n.ports)
	}
	waiting = append(waiting, idler{l.outside.Idle})
	for len(waiting) > 0 {
		idle, err := waiting[0].idle()
		switch {
		case err != nil:
			return fmt.Errorf("ask listener: %w", err)
		case idle:
			waiting = waiting[1:]
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(idleCheck):
			}
		}
	}
	return nil
}

type idler struct{ f func() (bool, error) }

func (i idler) idle() (bool, error) { return i.f() }

// Failed is an error for the measurements that should have been possible and
// were not; nil if there are none.
func Failed(measured []Measurement) error {
	var errs []error
	for _, m := range measured {
		if m.Err != nil && !errors.Is(m.Err, ErrNotMeasured) {
			errs = append(errs, fmt.Errorf("probe %s: %w", m.Connection, m.Err))
		}
	}
	return errors.Join(errs...)
}
