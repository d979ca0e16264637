package nft

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// guarded opens a dataplane that lets nobody else change the table.
func guarded(t *testing.T, s *space.Space) *Dataplane {
	t.Helper()
	d := open(t, s, Options{Guard: true})
	if d.Guarded() {
		return d
	}
	release, err := kernelRelease()
	if err != nil {
		t.Fatal(err)
	}
	if !older(release, 6, 9) {
		t.Fatalf("Linux %s does not guard tables", release)
	}
	t.Skipf("Linux %s cannot guard tables", release)
	return nil
}

// nft runs the command in a namespace and returns what it complains of.
func nft(t *testing.T, s *space.Space, script string) string {
	t.Helper()
	var out []byte
	err := s.Do(func() error {
		out, _ = exec.Command("nft", script).CombinedOutput()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func tables(t *testing.T, s *space.Space) string {
	t.Helper()
	return list(t, s, "list", "table", "inet", TableName)
}

func TestGuardKeepsOthersOut(t *testing.T) {
	s := newSpace(t)
	d := guarded(t, s)
	p := smallPlan()
	apply(t, d, p)
	want := tables(t, s)
	for _, damage := range []string{
		"delete table inet bulkhead",
		"flush chain inet bulkhead judge4",
		"add element inet bulkhead peers4 { 10.9.9.9 : 1:1 }",
		"flush map inet bulkhead peers4",
		"insert rule inet bulkhead prerouting accept",
		"add table inet bulkhead { flags dormant; }",
	} {
		if got := nft(t, s, damage); !strings.Contains(got, "Operation not permitted") {
			t.Errorf("%s: %q, want it refused", damage, got)
		}
	}
	list(t, s, "table ip other { chain c { counter; }; }; flush ruleset")
	if got := tables(t, s); got != want {
		t.Errorf("table is now:\n%s\nwant:\n%s", got, want)
	}
	select {
	case <-d.Changed():
		t.Error("a refused change was taken for one")
	default:
	}
	next := smallPlan()
	next.Addrs[address("\x0a\x00\x00\x64")] = 1
	if err := d.Update(context.Background(), plan.Compare(p, next), next); err != nil {
		t.Fatalf("change our own table: %v", err)
	}
	wantLive(t, d, next)
	other := open(t, s, Options{})
	if err := other.Apply(context.Background(), p); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "another process guards the table") {
		t.Errorf("another program's change: %v", err)
	}
}

// TestGuardOutlivesNobody: when the program ends, what it put in force stays, and
// is anybody's.
func TestGuardOutlivesNobody(t *testing.T) {
	s := newSpace(t)
	d, err := New(Options{NetNS: s.FD(), Guard: true})
	if err != nil {
		t.Fatal(err)
	}
	p := smallPlan()
	apply(t, d, p)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	wantLive(t, open(t, s, Options{}), p)
	if got := nft(t, s, "delete table inet bulkhead"); got != "" {
		t.Errorf("delete: %s", got)
	}
}

// TestGuardIsTakenBack after a change that the kernel refused, which costs the
// socket that owned the table.
func TestGuardIsTakenBack(t *testing.T) {
	s := newSpace(t)
	d := guarded(t, s)
	p := smallPlan()
	apply(t, d, p)
	wrong := smallPlan()
	wrong.Addrs[address("\x0a\x00\x00\x63")] = 1
	if err := d.Update(context.Background(), plan.Compare(wrong, p), p); err == nil {
		t.Fatal("the kernel took out what was not there")
	}
	apply(t, d, p)
	if got := nft(t, s, "delete table inet bulkhead"); !strings.Contains(got, "Operation not permitted") {
		t.Errorf("delete: %q, want it refused", got)
	}
}

// TestGuardChangesHands sends new connections all the time while programs with
// and without a guard follow each other.
func TestGuardChangesHands(t *testing.T) {
	w := kerneltest.NewWorld(t, 0)
	guarded(t, w.Place("one")) // the kernel can
	p := w.Isolated(t, "a egress c UDP 53")
	first := open(t, w.Place("one"), Options{})
	apply(t, first, p)
	stream := w.Stream(t, "a", "c", w.V4("a"), w.V4("c"), 53, 54)
	for i := range 30 {
		guard := i%3 != 2
		d, err := New(Options{NetNS: w.Place("one").FD(), Guard: guard})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, d, p)
		refused := nft(t, w.Place("one"), "add set inet bulkhead x { type mark; }; delete set inet bulkhead x") != ""
		if refused != guard {
			t.Errorf("start %d: with guard %t others were refused: %t", i+1, guard, refused)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		stream.AwaitMore()
	}
	sent, arrived := stream.End()
	if sent[53] != arrived[53] || arrived[54] != 0 {
		t.Errorf("%d of %d allowed packets arrived, %d of %d denied ones", arrived[53], sent[53], arrived[54], sent[54])
	}
}
