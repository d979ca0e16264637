package failure

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFlushedRuleset: nobody can keep packets from passing while the tables are
// gone, so it reports for how long that is. That they come back, and that nothing
// allowed is lost, does not depend on how busy the machine is.
func TestFlushedRuleset(t *testing.T) {
	s := newScene(t)
	var windows []time.Duration
	for range 10 {
		c := s.during(func() { s.nft(shared.Node(1), "flush ruleset") })
		if c.Lost != 0 {
			t.Errorf("%d allowed datagrams were lost", c.Lost)
		}
		windows = append(windows, c.window)
		s.settle()
	}
	slices.Sort(windows)
	t.Logf("open for %v (median), %v (longest)", windows[len(windows)/2], windows[len(windows)-1])
}

// TestPartOfTheTablesIsTakenAway: by mistake or not, one element or chain at a
// time.
func TestPartOfTheTablesIsTakenAway(t *testing.T) {
	s := newScene(t)
	for _, change := range []string{
		"flush chain inet bulkhead prerouting",
		"flush map inet bulkhead ingress4",
		"flush map inet bulkhead peers4",
		"insert rule inet bulkhead prerouting accept",
		"delete table inet bulkhead",
	} {
		c := s.during(func() { s.nft(shared.Node(1), change) })
		t.Logf("%s: open for %v", change, c.window)
		s.settle()
		s.unharmed(func() {})
	}
}

func TestForeignTableAppears(t *testing.T) {
	s := newScene(t)
	s.unharmed(func() {
		s.nft(shared.Node(1), "add table inet foreign; add chain inet foreign c { type filter hook prerouting priority -300; }; add rule inet foreign c counter accept")
		s.more(s.traffic.Counts(), 200)
		s.nft(shared.Node(1), "delete table inet foreign")
	})
}

// TestConnectionTableIsFull: the kernel drops what it cannot track, allowed or
// not, but lets nothing through. The limit is one for the whole machine and not
// this test's to change, so it fills the node's own table up to it.
func TestConnectionTableIsFull(t *testing.T) {
	s := newScene(t)
	node := shared.Node(1)
	c := s.during(func() {
		s.do("fill table of connections", fillConnections(node.NetNS))
		before := s.traffic.Counts()
		s.await("a loss, since there is no room", func() bool { return s.traffic.Counts().Since(before).Lost > 0 })
		s.await("attempts while the table is full", func() bool { return s.traffic.Counts().Since(before).Tried > 1000 })
		s.do("empty table of connections", emptyConnections(node.NetNS))
	})
	if c.Leaked != 0 {
		t.Errorf("%d denied datagrams got through", c.Leaked)
	}
	s.settle()
}

// TestNetlinkBufferOverruns: an agent that was not scheduled for a while missed
// that its tables were changed.
func TestNetlinkBufferOverruns(t *testing.T) {
	s := newScene(t)
	node := shared.Node(1)
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
	s.unharmed(func() {})
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
