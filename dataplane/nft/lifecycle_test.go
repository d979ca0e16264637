package nft

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TestRestartHasNoGap sends new connections all the time while the program
// ends, starts and takes the table over. None may be judged differently.
func TestRestartHasNoGap(t *testing.T) {
	w := kerneltest.NewWorld(t, 0)
	p := w.Isolated(t, "a egress c UDP 53")
	first := open(t, w.Place("one"), Options{})
	apply(t, first, p)
	stream := w.Stream(t, "a", "c", w.V4("a"), w.V4("c"), 53, 54)
	for range 30 {
		d, err := New(Options{NetNS: w.Place("one").FD()})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, d, p)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		stream.AwaitMore()
	}
	sent, arrived := stream.End()
	if sent[53] != arrived[53] {
		t.Errorf("%d of %d allowed packets arrived", arrived[53], sent[53])
	}
	if arrived[54] != 0 {
		t.Errorf("%d of %d denied packets arrived", arrived[54], sent[54])
	}
	t.Logf("%d connections", sent[53]+sent[54])
}

// TestTakeOverChangesNothing: the second Apply of a plan sends no transaction,
// which the kernel's generation number shows.
func TestTakeOverChangesNothing(t *testing.T) {
	c := newChooser(t)
	s := newSpace(t)
	d := open(t, s, Options{})
	for range 20 {
		p := c.plan()
		apply(t, d, p)
		before := generation(t, d)
		apply(t, open(t, s, Options{}), p)
		if after := generation(t, d); after != before {
			t.Fatalf("generation %d became %d: there was something to change", before, after)
		}
	}
}

// TestDamageIsRepaired: whatever somebody did to the table, Apply brings it
// back, and Changed told of it.
func TestDamageIsRepaired(t *testing.T) {
	for _, damage := range []string{
		"flush ruleset",
		"delete table inet bulkhead",
		"flush chain inet bulkhead judge",
		"add element inet bulkhead peers4 { 10.9.9.9 : 1:1 }",
		"delete element inet bulkhead peers4 { 10.0.0.1 }",
		"flush map inet bulkhead ranges4",
		"insert rule inet bulkhead prerouting accept",
		"add chain inet bulkhead mine",
		"add table inet bulkhead { flags dormant; }",
		"add chain inet bulkhead prerouting { policy drop; }",
		"delete map inet bulkhead wider",
		"add set inet bulkhead egress_00000009_ports { type ipv4_addr; }",
		"flush ruleset; table inet bulkhead { chain prerouting { type filter hook prerouting priority 0; }; set peers4 { type inet_proto; }; }",
	} {
		t.Run(damage, func(t *testing.T) {
			s := newSpace(t)
			d := open(t, s, Options{})
			p := smallPlan()
			apply(t, d, p)
			select {
			case <-d.Changed():
				t.Fatal("own change was taken for somebody else's")
			default:
			}
			if strings.HasPrefix(damage, "delete map") { // in use by rules
				damage = "flush chain inet bulkhead egress_00000007; flush chain inet bulkhead egress_00000007_reply; " +
					"flush chain inet bulkhead ingress_00000008; flush chain inet bulkhead ingress_00000008_reply; " + damage
			}
			want := list(t, s, "list", "table", "inet", TableName)
			list(t, s, damage)
			<-d.Changed()
			apply(t, d, p)
			if got := list(t, s, "list", "table", "inet", TableName); got != want {
				t.Errorf("table is now:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestOtherTablesAreLeftAlone by everything that we do.
func TestOtherTablesAreLeftAlone(t *testing.T) {
	const other = "table ip bulkhead { chain c { counter; }; }; table inet other { set peers4 { type ipv4_addr; elements = { 10.0.0.1 }; }; chain prerouting { type filter hook prerouting priority -90; }; }"
	s := newSpace(t)
	list(t, s, other)
	want := list(t, s, "list", "ruleset")
	d := open(t, s, Options{})
	ctx := context.Background()
	empty, small := plan.New("one"), smallPlan()
	apply(t, d, empty)
	if err := d.Update(ctx, plan.Compare(empty, small), small); err != nil {
		t.Fatal(err)
	}
	apply(t, d, empty)
	select {
	case <-d.Changed():
		t.Error("own change was taken for somebody else's")
	default:
	}
	list(t, s, "add element inet other peers4 { 10.0.0.2 }; delete element inet other peers4 { 10.0.0.2 }")
	if err := d.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, "list", "ruleset"); got != want {
		t.Errorf("ruleset is now:\n%s\nwant:\n%s", got, want)
	}
	if _, err := d.Live(ctx); !errors.Is(err, ErrNoTable) {
		t.Errorf("live plan without a table: %v", err)
	}
	if err := d.Delete(ctx); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
}

// TestFailedUpdateChangesNothing: a change that the kernel refuses leaves what
// was, and the next is taken.
func TestFailedUpdateChangesNothing(t *testing.T) {
	ctx := context.Background()
	s := newSpace(t)
	d := open(t, s, Options{})
	p := smallPlan()
	apply(t, d, p)
	wrong := plan.Diff{Addrs: map[netip.Addr]plan.Edit[plan.PeerID]{
		address("\x0a\x00\x00\x63"): {Old: 1, Had: true}, // is not there
		address("\x0a\x00\x00\x64"): {New: 1, Has: true},
	}}
	if err := d.Update(ctx, wrong, p); err == nil {
		t.Fatal("the kernel took out what was not there")
	}
	wantLive(t, d, p)
	next := smallPlan()
	next.Addrs[address("\x0a\x00\x00\x64")] = 1
	if err := d.Update(ctx, plan.Compare(p, next), next); err != nil {
		t.Fatal(err)
	}
	wantLive(t, d, next)
}

// TestMistakesInPlans are refused before the kernel sees them.
func TestMistakesInPlans(t *testing.T) {
	s := newSpace(t)
	d := open(t, s, Options{})
	for name, spoil := range map[string]func(*plan.Plan){
		"class that is not there":      func(p *plan.Plan) { p.Local[address("\x0a\x00\x00\x09")] = plan.Local{Egress: 99} },
		"class of the other direction": func(p *plan.Plan) { p.Local[address("\x0a\x00\x00\x09")] = plan.Local{Ingress: 7} },
		"ports of a protocol without ports": func(p *plan.Plan) {
			p.Classes[7].Rows[plan.Row{AnyPeer: true, Protocol: 47, From: 1, To: 2}] = traffic.Allow
		},
		"ports the wrong way round": func(p *plan.Plan) {
			p.Classes[7].Rows[plan.Row{AnyPeer: true, Protocol: traffic.TCP, From: 2, To: 1}] = traffic.Allow
		},
		"a peer and any peer in one row": func(p *plan.Plan) { p.Classes[7].Rows[plan.Row{Peer: 1, AnyPeer: true}] = traffic.Allow },
	} {
		p := smallPlan()
		spoil(p)
		if err := d.Apply(context.Background(), p); err == nil {
			t.Errorf("%s: was taken", name)
		}
		if err := d.Update(context.Background(), plan.Compare(smallPlan(), p), p); err == nil {
			t.Errorf("%s: was taken as a change", name)
		}
	}
	if got := list(t, s, "list", "ruleset"); got != "" {
		t.Errorf("the kernel has:\n%s", got)
	}
}

// TestLargeTablesAreListed by the nft command and by us.
func TestLargeTablesAreListed(t *testing.T) {
	s := newSpace(t)
	d := open(t, s, Options{})
	p := smallPlan()
	next := address("\x0a\x80\x00\x00")
	for range 20000 {
		p.Addrs[next] = 1
		next = next.Next()
	}
	apply(t, d, p)
	wantLive(t, d, p)
	for _, args := range [][]string{{"list", "ruleset"}, {"-j", "list", "ruleset"}} {
		out := list(t, s, args...)
		if !strings.Contains(out, next.Prev().String()) || !strings.Contains(out, "x/in; x/more") {
			t.Errorf("nft %v leaves something out", args)
		}
	}
}

// TestListedWhileItChanges: the nft command and we list the table while a program
// keeps changing it.
func TestListedWhileItChanges(t *testing.T) {
	s := newSpace(t)
	d, reader := open(t, s, Options{}), open(t, s, Options{})
	p := smallPlan()
	next := address("\x0a\x80\x00\x00")
	for range 3000 {
		p.Addrs[next] = 1
		next = next.Next()
	}
	apply(t, d, p)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		ctx, changed := context.Background(), smallPlan()
		edit := plan.Edit[plan.PeerID]{New: 1, Has: true}
		for {
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(10 * time.Millisecond): // nobody reads what changes all the time
			}
			back := plan.Edit[plan.PeerID]{Old: 1, Had: true}
			for _, e := range []plan.Edit[plan.PeerID]{edit, back} {
				if err := d.Update(ctx, plan.Diff{Addrs: map[netip.Addr]plan.Edit[plan.PeerID]{next: e}}, changed); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 5 {
		for _, args := range [][]string{{"list", "ruleset"}, {"-j", "list", "ruleset"}} {
			if out := list(t, s, args...); !strings.Contains(out, "x/in; x/more") {
				t.Errorf("nft %v leaves something out", args)
			}
		}
		got, err := reader.Live(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		delete(got.Addrs, next) // is or is not there
		if diff := plan.Compare(got, p); !diff.Empty() {
			t.Errorf("the live plan is off by %d entries", diff.Len())
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func generation(t *testing.T, d *Dataplane) uint32 {
	t.Helper()
	n, err := readGeneration(context.Background(), d.conn)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
