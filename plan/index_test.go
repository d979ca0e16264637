package plan

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestIndexJudgesAsTraceDoes(t *testing.T) {
	allowed := 0
	for n := range 200 {
		r := source(n)
		p := randomPlan(r)
		x := NewIndex(p)
		for range 200 {
			packet := randomPacket(r)
			want := p.Trace(packet)
			if got := x.Trace(packet); got != want {
				t.Fatalf("plan %d, %+v: index says %s, trace %s\n%s", n, packet, got, want, Text(p))
			}
			allowed += int(want)
		}
	}
	if allowed < 4000 || allowed > 36000 {
		t.Errorf("%d of 40000 packets allowed: the plans do not decide much", allowed)
	}
}

func TestIndexFollowsChanges(t *testing.T) {
	for n := range 200 {
		r := source(n)
		p := randomPlan(r)
		x := NewIndex(p)
		for range 20 {
			x.Trace(randomPacket(r))
		}
		d := Compare(p, randomPlan(r))
		d.Apply(p)
		x.Update(d)
		for range 100 {
			packet := randomPacket(r)
			if got, want := x.Trace(packet), p.Trace(packet); got != want {
				t.Fatalf("plan %d, %+v: index says %s, trace %s", n, packet, got, want)
			}
		}
	}
}

func TestLookupPrefersTheMostTellingRow(t *testing.T) {
	p, err := Parse(`plan n
class 00000001 ingress default deny
  deny peer 00000001 TCP 80
  allow peer 00000001
  deny peer 00000002 TCP 81
  allow peer 00000002 UDP
  deny peer 00000002
  allow any TCP
  deny any UDP
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		peer, wider PeerID
		protocol    traffic.Protocol
		port        uint16
		want        traffic.Verdict
		why         string
	}{
		{1, 2, traffic.TCP, 80, traffic.Deny, "the peer's port"},
		{1, 2, traffic.TCP, 81, traffic.Allow, "the peer, before the wider group's port"},
		{3, 2, traffic.TCP, 81, traffic.Deny, "the wider group's port"},
		{3, 2, traffic.UDP, 9, traffic.Allow, "the wider group's protocol"},
		{3, 2, traffic.TCP, 82, traffic.Deny, "the wider group, before any peer's protocol"},
		{3, 0, traffic.TCP, 82, traffic.Allow, "any peer's protocol"},
		{3, 0, traffic.UDP, 82, traffic.Deny, "any peer's protocol"},
		{0, 0, traffic.ICMP, 0, traffic.Deny, "the default"},
	} {
		class := p.Classes[1]
		if got := class.Lookup(row.peer, row.wider, row.protocol, row.port); got != row.want {
			t.Errorf("%s: got %s", row.why, got)
		}
		if got := newClassIndex(class).lookup(row.peer, row.wider, row.protocol, row.port); got != row.want {
			t.Errorf("%s: index says %s", row.why, got)
		}
	}
}

func TestScopeHoldsEveryConnectionThatLost(t *testing.T) {
	lost, spared, narrower := 0, 0, 0
	for n := range 400 {
		r := source(n)
		p := randomPlan(r)
		x := NewIndex(p)
		before := clone(t, p)
		d := Compare(p, change(t, p, source(n+1000)))
		d.Apply(p)
		x.Update(d)
		wide, narrow := d.Scope(), x.Scope(d)
		for range 200 {
			packet := randomPacket(r)
			in, inNarrow := wide.Contains(p, packet.From, packet.To), narrow.Contains(p, packet.From, packet.To)
			if before.Trace(packet) == traffic.Allow && p.Trace(packet) == traffic.Deny {
				lost++
				if !in || !inNarrow {
					t.Fatalf("plan %d: %+v lost its allowance outside of the scope %+v or %+v of\n%s", n, packet, wide, narrow, d.Text())
				}
			}
			if !in {
				spared++
			}
			if in && !inNarrow {
				narrower++
			}
		}
		if wide.Empty() == d.Revokes() {
			t.Fatalf("plan %d: Revokes is %v with scope %+v", n, d.Revokes(), wide)
		}
	}
	if lost < 500 || spared < 5000 || narrower < 100 {
		t.Errorf("%d connections lost, %d out of scope, %d out of the index's alone: the plans do not try this", lost, spared, narrower)
	}
}

func BenchmarkIndexTrace(b *testing.B) {
	r := source(1)
	p := randomPlan(r)
	x := NewIndex(p)
	packets := make([]Packet, 1024)
	for i := range packets {
		packets[i] = randomPacket(r)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Trace(packets[i%len(packets)])
	}
}
