package failure

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestClockJumps sets the agent's wall clock forward and back, and back to the
// truth. What it does may not depend on it.
func TestClockJumps(t *testing.T) {
	s := newScene(t)
	offset := filepath.Join(t.TempDir(), "offset")
	set := func(d time.Duration) {
		s.do("set clock", os.WriteFile(offset+".next", []byte(strconv.Itoa(int(d.Seconds()))), 0o644))
		s.do("set clock", os.Rename(offset+".next", offset)) // at once
	}
	set(0)
	self, err := os.Executable()
	s.do("find test program", err)
	engine := shared.Node(1).Engine()
	s.do("stop agent", engine.Stop(t.Context(), 0))
	s.do("start agent", engine.Start(t.Context(), append([]string{self, superviseClock, offset}, command(program)...)...))
	s.ready(shared.Node(1))
	t.Cleanup(func() {
		s.do("stop agent", engine.Stop(context.Background(), 0))
		s.do("start agent", engine.Start(context.Background(), command(program)...))
		s.ready(shared.Node(1))
	})
	for _, jump := range []time.Duration{20 * time.Hour, -20 * time.Hour, 0} {
		s.unharmed("the wall clock jumps by most of a day, forward and back", func() {
			set(jump)
			s.await("the agent to see the jump", func() bool { return (agentClock(t) - jump).Abs() < time.Hour })
			s.policy("made-at-"+strconv.Itoa(int(jump.Hours())+100), metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}}, "nobody")
			s.more(s.traffic.Counts(), 1000)
		})
		s.changesArrive()
	}
}

// agentClock is by how much the agent's wall clock is ahead of ours.
func agentClock(t *testing.T) time.Duration {
	response, err := httpFrom(shared.Node(1).NetNS).Get("http://" + agentAddress + "/healthz")
	if err != nil {
		return 0
	}
	response.Body.Close()
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		t.Fatalf("read the agent's time: %v", err)
	}
	return time.Until(date)
}
