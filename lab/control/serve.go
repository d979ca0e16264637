package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/lab"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/sandbox"
	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

func (c *session) startLab(ctx context.Context, start Start) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lab != nil {
		return errors.New("the lab is started already")
	}
	if err := sandbox.Check(); err != nil {
		return err
	}
	mode, err := network.ParseMode(start.Network)
	if err != nil {
		return InputError{err}
	}
	bundle, err := start.State.Load()
	if err != nil {
		return fmt.Errorf("load cluster: %w", err)
	}
	if err := mode.Check(bundle.Snapshot); err != nil {
		return InputError{err}
	}
	if err := c.takeName(start.Name); err != nil {
		return err
	}
	config := lab.Config{Network: mode, NoEnforce: start.NoEnforce, Log: c.log}
	if c.lab, err = lab.Start(ctx, config, bundle.Snapshot, bundle.Policies); err != nil {
		return fmt.Errorf("start lab: %w", err)
	}
	c.options, c.state = start, start.State
	if c.claim != nil {
		c.found <- c.claim.listener
	}
	return nil
}

// takeName lets others find the lab. They are served once it is started.
func (c *session) takeName(name string) error {
	if name == "" {
		return nil
	}
	if err := CheckName(name); err != nil {
		return err
	}
	var err error
	c.claim, err = c.home.claim(name)
	return err
}

// Status is a lab as its clients see it.
type Status struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	lab.Status
}

func (c *session) status(ctx context.Context) (*Status, error) {
	status, err := c.lab.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &Status{Name: c.options.Name, PID: os.Getpid(), Status: *status}, nil
}

func (c *session) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lab != nil
}

func (c *session) currentState() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// apply brings the lab to the state after the one that the client had.
func (c *session) apply(ctx context.Context, next State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.Version != c.state.Version+1 {
		return errors.New("somebody else changed the lab at the same time: try again")
	}
	bundle, err := next.Load()
	if err != nil {
		return fmt.Errorf("load cluster: %w", err)
	}
	if err := c.lab.Apply(ctx, bundle.Snapshot, bundle.Policies); err != nil {
		return fmt.Errorf("change lab: %w", err)
	}
	c.state = next
	return nil
}

// progressEvery keeps a client's terminal from being told more than it can
// show.
const progressEvery = 50 * time.Millisecond

func (c *session) probe(ctx context.Context, filter Filter) (*Probed, error) {
	if err := filter.check(); err != nil {
		return nil, err
	}
	view := c.lab.View()
	connections := slices.DeleteFunc(matrix.Connections(view.Snapshot, view.Policies),
		func(conn verdict.Connection) bool { return !filter.wants(conn) })
	last := time.Now()
	measured, err := c.lab.Probe(ctx, connections, func(decided int) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			_ = c.conn.send(event{Progress: &Progress{Decided: decided, Total: len(connections)}})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return probed(view, connections, measured), nil
}

func probed(view lab.View, connections []verdict.Connection, measured []lab.Measurement) *Probed {
	p := &Probed{Notes: slices.Clone(view.Notes)}
	verdicts := make([]*traffic.Verdict, len(measured))
	for i, m := range measured {
		verdicts[i] = m.Verdict()
		p.Answers = append(p.Answers, Answer{m.Connection.String(), m.Outcome, m.Answer})
		switch {
		case m.Err == nil:
		case !errors.Is(m.Err, lab.ErrNotMeasured):
			p.Failed = append(p.Failed, fmt.Sprintf("%s: %v", m.Connection, m.Err))
		case !slices.Contains(p.Notes, lab.NoSCTP):
			p.Notes = append(p.Notes, lab.NoSCTP)
		}
	}
	p.Matrix = matrix.New(verdict.New(view.Snapshot, view.Policies), connections, verdicts)
	return p
}

func (f Filter) check() error {
	for _, pattern := range []string{f.From, f.To} {
		if _, err := path.Match(pattern, ""); err != nil {
			return inputf("endpoint %q: %w", pattern, err)
		}
	}
	return nil
}

func (f Filter) wants(c verdict.Connection) bool {
	return fits(f.From, c.From) && fits(f.To, c.To) && (f.Port == 0 || f.Port == c.Port)
}

func fits(pattern string, e verdict.Endpoint) bool {
	ok, err := path.Match(pattern, e.String())
	return pattern == "" || ok && err == nil
}
