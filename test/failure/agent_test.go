package failure

import (
	"os"
	"os/exec"
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

// earlier is a commit whose tables differ from today's: they have no owner, and
// lead pods to their classes by jumps.
const earlier = "4057b9d5cf7bdd78b55f678883d23953842157d8"

// TestUpgradedFromEarlierTables: an agent takes over what another version left,
// forward and back, without a gap.
func TestUpgradedFromEarlierTables(t *testing.T) {
	old := buildEarlier(t)
	s := newScene(t)
	engine := shared.Node(1).Engine()
	const what = "agent replaced by an earlier version with other tables, and back"
	for range 3 {
		before := s.tables()
		s.unharmed(what, func() {
			s.do("stop agent", engine.Stop(t.Context(), 0))
			s.do("start earlier agent", engine.Start(t.Context(), command(old)...))
			s.ready(shared.Node(1))
		})
		if s.tables() == before {
			t.Error("the earlier version has the same tables: this proves nothing")
		}
		s.unharmed(what, func() {
			s.do("stop earlier agent", engine.Stop(t.Context(), 0))
			s.do("start agent", engine.Start(t.Context(), command(program)...))
			s.ready(shared.Node(1))
		})
	}
}

// tables is what node 1 has, without counters.
func (s *scene) tables() string {
	s.Helper()
	out, err := shared.Node(1).Command(s.Context(), "nft", "-s", "-t", "list", "table", "inet", "bulkhead").Output()
	s.do("list tables", err)
	return string(out)
}

// buildEarlier builds the agent of the earlier commit.
func buildEarlier(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := "git -C ../.. archive " + earlier + " | tar x -C " + dir + " && cd " + dir + " && go build -o bulkhead-earlier ./cmd/bulkhead"
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("build the agent of commit %s, which needs the repository's history: %v: %s", earlier, err, out)
	}
	return filepath.Join(dir, "bulkhead-earlier")
}
