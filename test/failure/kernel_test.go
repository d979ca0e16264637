package failure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestFlushIsPassedOver: the kernel lets nobody but the agent change its tables,
// not even by a flush of all tables.
func TestFlushIsPassedOver(t *testing.T) {
	s := newScene(t)
	if !guarded(t) {
		t.Skip("this kernel is older than Linux 6.9 and cannot guard tables")
	}
	for range 10 {
		s.unharmed("nft flush ruleset by somebody else", func() { s.nft(shared.Node(1), "flush ruleset") })
	}
}

// guarded tells whether the kernel keeps others from the agent's tables. All
// that can are expected to.
func guarded(t *testing.T) bool {
	t.Helper()
	out, err := shared.Node(1).Command(t.Context(), "nft", "add set inet bulkhead x { type mark; }; delete set inet bulkhead x").CombinedOutput()
	if err == nil {
		return false
	}
	if !strings.Contains(string(out), "Operation not permitted") {
		t.Fatalf("change a table: %v: %s", err, out)
	}
	return true
}

// TestFlushIsMended: where the kernel cannot guard tables, nobody can keep
// packets from passing while they are gone, so the report says for how long that
// is. That they come back, and that nothing allowed is lost, does not depend on
// how busy the machine is.
func TestFlushIsMended(t *testing.T) {
	s := newScene(t)
	s.restart(shared.Node(1), "--guard=false")
	for range 10 {
		s.nothingLost("the same without a guard, as before Linux 6.9", func() { s.nft(shared.Node(1), "flush ruleset") })
		s.settle()
	}
}

func (s *scene) nothingLost(what string, event func()) {
	s.Helper()
	if c := s.during(what, event); c.Lost != 0 || c.Missed != 0 {
		s.Errorf("%s: %d allowed connections were lost, and %d messages of open ones; want none", what, c.Lost, c.Missed)
	}
}

// TestPartOfTheTablesIsTakenAway where the kernel cannot guard them: by mistake or
// not, one element or chain at a time. Without the peers nobody is known to be
// allowed, so that new connections are lost meanwhile; open ones never are.
func TestPartOfTheTablesIsTakenAway(t *testing.T) {
	s := newScene(t)
	s.restart(shared.Node(1), "--guard=false")
	for _, change := range []string{
		"flush chain inet bulkhead prerouting",
		"flush map inet bulkhead ingress4",
		"insert rule inet bulkhead prerouting accept",
		"delete table inet bulkhead",
		"flush map inet bulkhead peers4",
	} {
		shuts := strings.Contains(change, "peers4")
		for range 5 {
			c := s.during("without a guard: nft "+change, func() { s.nft(shared.Node(1), change) })
			if c.Missed != 0 || c.Lost != 0 && !shuts || c.Leaked != 0 && shuts {
				t.Errorf("%s: %d connections were lost, %d messages of open ones, and %d denied connections got through", change, c.Lost, c.Missed, c.Leaked)
			}
			s.settle()
		}
	}
	s.unharmed("after that", func() {})
}

func TestForeignTableAppears(t *testing.T) {
	s := newScene(t)
	s.unharmed("a foreign table appears and goes", func() {
		s.nft(shared.Node(1), "add table inet foreign; add chain inet foreign c { type filter hook prerouting priority -300; }; add rule inet foreign c counter accept")
		s.more(s.traffic.Counts(), 200)
		s.nft(shared.Node(1), "delete table inet foreign")
	})
}

// TestConnectionTableIsFull: the kernel drops what it cannot track, allowed or
// not, so that new connections are lost whoever enforces; open ones are not, and
// nothing denied gets through. The limit is one for the whole machine and not
// this test's to change, so it fills the node's own table up to it.
func TestConnectionTableIsFull(t *testing.T) {
	s := newScene(t)
	node := shared.Node(1)
	c := s.during("conntrack table full, then emptied by somebody", func() {
		s.do("fill table of connections", fillConnections(node.NetNS))
		before := s.traffic.Counts()
		s.await("a loss, since there is no room", func() bool { return s.traffic.Counts().Since(before).Lost > 0 })
		s.await("attempts while the table is full", func() bool {
			c := s.traffic.Counts().Since(before)
			return c.Tried > 1000 && c.Exchanged > 1000
		})
		s.do("empty table of connections", emptyConnections(node.NetNS))
	})
	if c.Leaked != 0 || c.Missed != 0 {
		t.Errorf("%d denied connections got through, and %d messages of open ones were lost", c.Leaked, c.Missed)
	}
	s.settle()
}

// TestNetlinkBufferOverruns: an agent that was not scheduled for a while missed
// that its tables were changed.
func TestNetlinkBufferOverruns(t *testing.T) {
	s := newScene(t)
	node := shared.Node(1)
	s.restart(node, "--guard=false")
	s.do("suspend agent", node.Engine().Signal(t.Context(), syscall.SIGSTOP))
	var script strings.Builder
	script.WriteString("add table inet flood; add set inet flood s { type ipv4_addr; };\n")
	for i := range 200 {
		script.WriteString("add element inet flood s { ")
		for j := range 200 {
			if j > 0 {
				script.WriteString(", ")
			}
			script.WriteString("10." + strconv.Itoa(i) + ".0." + strconv.Itoa(j))
		}
		script.WriteString(" };\n")
	}
	for range 20 {
		load := node.Command(t.Context(), "nft", "-f", "-")
		load.Stdin = strings.NewReader(script.String() + "delete table inet flood;\n")
		if out, err := load.CombinedOutput(); err != nil {
			t.Fatalf("flood: %v: %s", err, out)
		}
	}
	s.nft(node, "delete table inet bulkhead")
	pid, err := node.Engine().PID(t.Context())
	s.do("find agent", err)
	if n := overruns(t, pid); n == 0 {
		t.Error("no buffer of the agent overran: the flood was too small")
	}
	s.do("resume agent", node.Engine().Signal(t.Context(), syscall.SIGCONT))
	s.settle()
	s.unharmed("after an overrun of the agent's netlink buffers", func() {})
}

// overruns is how many messages the kernel dropped on sockets of the process's
// network namespace that listen to nftables.
func overruns(t *testing.T, pid int) int {
	t.Helper()
	const netfilter, drops = 12, 8 // NETLINK_NETFILTER; the column
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netlink", pid))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, line := range strings.Split(string(table), "\n")[1:] {
		f := strings.Fields(line)
		if len(f) <= drops || f[1] != strconv.Itoa(netfilter) {
			continue
		}
		n, err := strconv.Atoi(f[drops])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}
