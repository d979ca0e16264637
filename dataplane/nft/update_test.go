package nft

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func newChooser(t *testing.T) *chooser {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &chooser{Rand: rand.New(rand.NewPCG(seed, 0)), audits: true, from4: netip.MustParseAddr("10.0.0.0"), from6: netip.MustParseAddr("fd00::")}
	for _, s := range []string{"10.0.0.1", "10.0.0.7", "fd00::1"} {
		c.locals = append(c.locals, netip.MustParseAddr(s))
	}
	c.addrs = append([]netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd00::4")}, c.locals...)
	return c
}

func wantLive(t *testing.T, d *Dataplane, want *plan.Plan) {
	t.Helper()
	got, err := d.Live(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := plan.Compare(got, Shown(want)); !diff.Empty() {
		t.Fatalf("the kernel has something else than the plan:\n%v", diff)
	}
}

// TestUpdate walks from one random plan to the next by elements, or as a whole
// where a class kept its number and not its policies.
func TestUpdate(t *testing.T) {
	ctx := context.Background()
	c := newChooser(t)
	s := newSpace(t)
	d := open(t, s, Options{})
	now := plan.New("one")
	if err := d.Apply(ctx, now); err != nil {
		t.Fatal(err)
	}
	updates := 0
	for range 150 {
		next := c.plan()
		if c.IntN(2) == 0 {
			keepClasses(now, next)
		}
		diff := plan.Compare(now, next)
		if err := d.Update(ctx, diff, next); err == nil {
			updates++
		} else if err := d.Apply(ctx, next); err != nil {
			t.Fatal(err)
		}
		now = next
		wantLive(t, d, now)
	}
	list(t, s, "list", "ruleset")
	if updates < 50 {
		t.Errorf("only %d of 150 changes could be made by elements", updates)
	}
}

// keepClasses gives classes that both plans have the policies they had.
func keepClasses(from, to *plan.Plan) {
	for id, class := range from.Classes {
		next, ok := to.Classes[id]
		if !ok || next.Direction != class.Direction {
			delete(to.Classes, id)
			for addr, local := range to.Local {
				if local.Egress == id {
					local.Egress = 0
				}
				if local.Ingress == id {
					local.Ingress = 0
				}
				to.Local[addr] = local
			}
			continue
		}
		next.Policies, next.Audit = class.Policies, class.Audit
	}
}

// TestPodsTouchNoJumps: the kernel checks the whole table whenever a jump is
// added, so a pod's change adds none while its classes exist.
func TestPodsTouchNoJumps(t *testing.T) {
	p := plan.New("one")
	p.Classes[1] = &plan.Class{Direction: traffic.Egress}
	p.Classes[2] = &plan.Class{Direction: traffic.Ingress}
	addr := netip.MustParseAddr("10.0.0.1")
	p.Local[addr] = plan.Local{Egress: 1, Ingress: 2}
	for _, diff := range []plan.Diff{
		{Local: map[netip.Addr]plan.Edit[plan.Local]{addr: {New: p.Local[addr], Has: true}}},
		{Local: map[netip.Addr]plan.Edit[plan.Local]{addr: {Old: plan.Local{Egress: 1}, New: p.Local[addr], Had: true, Has: true}}},
		{Local: map[netip.Addr]plan.Edit[plan.Local]{addr: {Old: p.Local[addr], Had: true}}},
	} {
		var tx transaction
		if err := tx.update(diff, p, Proxy{}); err != nil {
			t.Fatal(err)
		}
		if tx.elements == 0 {
			t.Error("nothing changes")
		}
		for _, m := range tx.messages {
			set := attr.Text(m.Data[headerLen:], unix.NFTA_SET_ELEM_LIST_SET)
			if !slices.Contains([]string{"self4", "egress4", "ingress4"}, set) {
				t.Errorf("message of type %x about %q", uint16(m.Header.Type), set)
			}
		}
	}
}
