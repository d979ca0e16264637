package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLabOfOneClient(t *testing.T) {
	c := startLab(t, newHome(t), "")
	probed, err := c.Probe(t.Context(), Filter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(probed.Matrix.Tally(), probed.Answers, probed.Failed)
	for _, want := range []string{
		"2 allowed, 0 denied; packets agree with all",
		"{x/a -> x/b TCP 80 answered x/b TCP 80 from ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, which lacks %q", got, want)
		}
	}
	pid := c.process.Process.Pid
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the server still runs: %v", err)
	}
}

func TestNamedLab(t *testing.T) {
	h := newHome(t)
	if err := startLab(t, h, "play").Detach(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, h, "play")
	now, err := c.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, bundle, err := now.Add([]string{"-"}, strings.NewReader(denyB))
	if err != nil || len(bundle.Policies.Policies) != 1 {
		t.Fatalf("%v, %v", bundle, err)
	}
	if err := c.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	other := dial(t, h, "play") // at the same time
	if err := other.Apply(t.Context(), next); err == nil || !strings.Contains(err.Error(), "at the same time") {
		t.Errorf("a change to an old state: %v", err)
	}
	probed, err := other.Probe(t.Context(), Filter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := probed.Matrix.Tally().String(); got != "1 allowed, 1 denied; packets agree with all" {
		t.Error(got)
	}
	status, err := c.Status(t.Context())
	if err != nil || status.Name != "play" || len(status.Policies) != 1 || len(status.Nodes) != 2 {
		t.Errorf("status %+v, %v", status, err)
	}
	if existed, err := h.Down(t.Context(), "play"); !existed || err != nil {
		t.Errorf("down: %v, %v", existed, err)
	}
	if pid, err := unix.Wait4(status.PID, nil, unix.WNOHANG, nil); pid != status.PID || err != nil {
		t.Errorf("the server still runs: %d, %v", pid, err)
	}
	if existed, err := h.Down(t.Context(), "play"); existed || err != nil {
		t.Errorf("down again: %v, %v", existed, err)
	}
}

func TestFilters(t *testing.T) {
	c := startLab(t, newHome(t), "")
	defer c.Close()
	for filter, want := range map[Filter]int{
		{}: 2, {From: "x/a"}: 1, {To: "x/*"}: 2, {From: "*/b", Port: 80}: 1, {Port: 81}: 0, {From: "y/*"}: 0,
	} {
		if probed, err := c.Probe(t.Context(), filter, nil); err != nil || len(probed.Matrix.Rows) != want {
			t.Errorf("%+v: %v, %v", filter, probed, err)
		}
	}
	var input InputError
	if _, err := c.Probe(t.Context(), Filter{From: "["}, nil); !errors.As(err, &input) {
		t.Errorf("a pattern that is none: %v", err)
	}
}

func TestNameIsTaken(t *testing.T) {
	h := newHome(t)
	first := startLab(t, h, "one")
	if err := h.Available("one"); err == nil {
		t.Error("the name is available")
	}
	second := launch(t, h)
	err := second.Start(t.Context(), Start{Name: "one", Network: "routed", State: newState(t, world)})
	var input InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "is up already") {
		t.Errorf("got %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := dial(t, h, "one").Status(t.Context()); err != nil {
		t.Errorf("the first is hurt: %v", err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

func TestKilledLab(t *testing.T) {
	h := newHome(t)
	c := startLab(t, h, "killed")
	pid := c.process.Process.Pid
	if holder, err := h.Holder("killed"); holder != pid || err != nil {
		t.Errorf("held by %d, %v; want %d", holder, err, pid)
	}
	if err := c.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("asked: %v", err)
	}
	c.Close()
	if _, err := h.Dial("killed"); !errors.Is(err, ErrGone) {
		t.Errorf("found: %v", err)
	}
	if names, err := h.Names(); len(names) != 1 || err != nil {
		t.Errorf("left: %v, %v", names, err)
	}
	if err := h.Available("killed"); err != nil {
		t.Errorf("its name: %v", err)
	}
	next := startLab(t, h, "killed") // takes the rest over
	if err := next.Detach(); err != nil {
		t.Fatal(err)
	}
	if existed, err := h.Down(t.Context(), "killed"); !existed || err != nil {
		t.Errorf("down: %v, %v", existed, err)
	}
}

func TestDownRemovesWhatACrashLeft(t *testing.T) {
	h := newHome(t)
	c := startLab(t, h, "crashed")
	if err := c.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if existed, err := h.Down(t.Context(), "crashed"); !existed || err != nil {
		t.Errorf("down: %v, %v", existed, err)
	}
	if _, err := os.Stat(h.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of labs is left: %v", err)
	}
}

func TestDownEndsALabThatDoesNotAnswer(t *testing.T) {
	h := newHome(t)
	c := startLab(t, h, "stuck")
	if err := os.Remove(h.file("stuck", socketFile)); err != nil { // nobody finds it
		t.Fatal(err)
	}
	if existed, err := h.Down(t.Context(), "stuck"); !existed || err != nil {
		t.Errorf("down: %v, %v", existed, err)
	}
	c.Close()
}

func TestClientGoesAway(t *testing.T) {
	for _, when := range []string{"before the start", "while it waits"} {
		c := launch(t, newHome(t))
		if when == "while it waits" {
			ctx, cancel := context.WithCancel(t.Context())
			go cancel()
			_ = c.Start(ctx, Start{Network: "routed", State: newState(t, world)}) // at any point of it
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
}

func TestBadStarts(t *testing.T) {
	h := newHome(t)
	for want, start := range map[string]Start{
		"unknown pod network": {Network: "x", State: newState(t, world)},
		"lab name":            {Name: "A B", Network: "routed", State: newState(t, world)},
		"decode cluster":      {Network: "routed"},
	} {
		c := launch(t, h)
		if err := c.Start(t.Context(), start); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "no lab yet") {
			t.Errorf("status: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
