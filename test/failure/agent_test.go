package failure

import (
	"os"
	"path/filepath"
	"testing"
)

// TestControl is the check that the others can fail: without tables the denied
// client is heard, and behind a table that drops the allowed one is not.
func TestControl(t *testing.T) {
	s := newScene(t)
	node := shared.Node(1)
	c := s.during("control: nobody enforces", func() {
		s.do("stop agent", node.Engine().Stop(t.Context(), 0))
		s.nft(node, "delete table inet bulkhead")
		s.more(s.traffic.Counts(), 100)
		s.do("start agent", node.Engine().Start(t.Context()))
		s.ready(node)
	})
	if c.Leaked == 0 {
		t.Error("nothing leaked although nobody enforced")
	}
	c = s.during("control: a table that drops everything", func() {
		s.nft(node, "add table inet wall; add chain inet wall c { type filter hook forward priority 0; udp dport 7000 drop; }")
		s.await("a loss", func() bool { return s.traffic.Counts().Lost > 0 })
		s.nft(node, "delete table inet wall")
	})
	if c.Lost == 0 {
		t.Error("nothing was lost although all was dropped")
	}
}

func TestKilledAndStartedAgain(t *testing.T) {
	s := newScene(t)
	s.unharmed("agent killed (kill -9) and started again", func() {
		engine := shared.Node(1).Engine()
		s.do("kill agent", engine.Kill(t.Context()))
		s.more(s.traffic.Counts(), 300)
		s.do("start agent", engine.Start(t.Context()))
		s.ready(shared.Node(1))
	})
}

func TestStoppedAndStartedAgain(t *testing.T) {
	s := newScene(t)
	s.unharmed("agent stopped (SIGTERM) and started again", func() {
		engine := shared.Node(1).Engine()
		s.do("stop agent", engine.Stop(t.Context(), 0))
		s.more(s.traffic.Counts(), 300)
		s.do("start agent", engine.Start(t.Context()))
		s.ready(shared.Node(1))
	})
}

func TestUpgradedToAnotherProgram(t *testing.T) {
	other := filepath.Join(t.TempDir(), "bulkhead-next")
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, content, 0o755); err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	engine := shared.Node(1).Engine()
	s.unharmed("agent replaced by another program with other flags, and back", func() {
		s.do("stop agent", engine.Stop(t.Context(), 0))
		s.do("start other agent", engine.Start(t.Context(), append(command(other), "--reset-tcp")...))
		s.ready(shared.Node(1))
	})
	s.unharmed("agent replaced by another program with other flags, and back", func() {
		s.do("stop other agent", engine.Stop(t.Context(), 0))
		s.do("start agent", engine.Start(t.Context(), command(program)...))
		s.ready(shared.Node(1))
	})
}
