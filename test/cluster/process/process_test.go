package process

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

func init() { runtime.LockOSThread() }

func start(t *testing.T, script string) *Process {
	t.Helper()
	p := New("group/test", ns.View{}, t.TempDir(), []string{"WORD=hello"}, "sh", "-c", script)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

// output waits for the process to have written something.
func output(t *testing.T, p *Process) string {
	t.Helper()
	for t.Context().Err() == nil {
		if text, err := os.ReadFile(p.Status().Log); err == nil && strings.HasSuffix(string(text), "\n") {
			return strings.TrimSpace(string(text))
		}
		time.Sleep(time.Millisecond)
	}
	return ""
}

func TestADeathIsCountedUnlessItWasAskedFor(t *testing.T) {
	p := start(t, "echo $WORD; exit 3")
	<-p.Ended()
	s := p.Status()
	if s.Running || s.Deaths != 1 || s.LastExit != "exit status 3" || output(t, p) != "hello" {
		t.Errorf("after a death: %+v", s)
	}
	p = start(t, "echo up; exec sleep 1000")
	output(t, p)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Running || s.Deaths != 0 || s.LastExit != "signal: killed" {
		t.Errorf("after a kill: %+v", s)
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	p := start(t, "trap '' TERM; echo up; while :; do sleep 1000; done")
	output(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if s := p.Status(); s.Running || s.LastExit != "signal: killed" {
		t.Errorf("after the grace period: %+v", s)
	}
}

func TestReplaceTakesEffectAtTheNextStart(t *testing.T) {
	p := start(t, "exec sleep 1000")
	if err := p.Start(); !errors.Is(err, ErrRunning) {
		t.Errorf("started twice: %v", err)
	}
	p.Replace([]string{"sh", "-c", "echo replaced; exec sleep 1000"})
	if err := p.Do(t.Context(), control.ProcessRequest{Action: control.StopProcess}); err != nil {
		t.Fatal(err)
	}
	if err := p.Do(t.Context(), control.ProcessRequest{Action: control.StartProcess}); err != nil {
		t.Fatal(err)
	}
	if got := output(t, p); got != "replaced" {
		t.Errorf("the new command wrote %q", got)
	}
	if s := p.Status(); !s.Running || s.Starts != 2 || s.Deaths != 0 {
		t.Errorf("after the second start: %+v", s)
	}
}
