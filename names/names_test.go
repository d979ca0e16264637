package names

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func (t *Table) text(key string) string { return fmt.Sprint(t.Addresses(key)) }

func unused(netip.Addr) bool { return false }

func TestAStory(t *testing.T) {
	const s = time.Second
	table := New(Limits{Floor: 5 * s, Grace: 10 * s, Ceiling: time.Minute})
	learn := func(key string, ttl time.Duration, texts ...string) func(time.Time) bool {
		return func(now time.Time) bool { return table.Learn(key, addrs(texts...), ttl, now) }
	}
	expire := func(inUse ...string) func(time.Time) bool {
		return func(now time.Time) bool {
			return len(table.Expire(now, func(a netip.Addr) bool { return slices.Contains(inUse, a.String()) })) > 0
		}
	}
	for _, step := range []struct {
		at      time.Duration
		do      func(time.Time) bool
		changed bool
		a, b    string // the addresses of the selectors
	}{
		{0, learn("a", 20*s, "10.0.0.1"), true, "[10.0.0.1]", "[]"},
		{1 * s, learn("a", 20*s, "10.0.0.1"), false, "[10.0.0.1]", "[]"},
		{1 * s, learn("b", 0, "10.0.0.2", "fd00::2"), true, "[10.0.0.1]", "[10.0.0.2 fd00::2]"},
		{15 * s, expire(), false, "[10.0.0.1]", "[10.0.0.2 fd00::2]"},
		{17 * s, expire(), true, "[10.0.0.1]", "[]"},
		{20 * s, learn("a", 20*s, "10.0.0.3"), true, "[10.0.0.1 10.0.0.3]", "[]"},
		{32 * s, expire("10.0.0.1"), false, "[10.0.0.1 10.0.0.3]", "[]"},
		{41 * s, expire("10.0.0.1"), false, "[10.0.0.1 10.0.0.3]", "[]"},
		{43 * s, expire(), true, "[10.0.0.3]", "[]"},
		{44 * s, learn("a", time.Hour, "10.0.0.4"), true, "[10.0.0.3 10.0.0.4]", "[]"},
		{60 * s, expire(), true, "[10.0.0.4]", "[]"},
		{115 * s, expire(), true, "[]", "[]"}, // the ceiling
	} {
		if changed := step.do(start.Add(step.at)); changed != step.changed {
			t.Errorf("at %s: changed: %t", step.at, changed)
		}
		if a, b := table.text("a"), table.text("b"); a != step.a || b != step.b {
			t.Fatalf("at %s: %s and %s, want %s and %s", step.at, a, b, step.a, step.b)
		}
	}
	if selectors, addresses := table.Len(); selectors+addresses != 0 {
		t.Errorf("%d selectors and %d addresses are left", selectors, addresses)
	}
}

func TestAFullSelectorForgetsWhatEndsFirst(t *testing.T) {
	table := New(Limits{Addresses: 2})
	table.Learn("a", addrs("10.0.0.1"), 3*time.Minute, start)
	table.Learn("a", addrs("10.0.0.2"), 1*time.Minute, start)
	table.Learn("a", addrs("10.0.0.3"), 2*time.Minute, start)
	if got := table.text("a"); got != "[10.0.0.1 10.0.0.3]" {
		t.Errorf("left: %s", got)
	}
}

func TestOneNameWith500Addresses(t *testing.T) {
	table := New(Limits{})
	var all []netip.Addr
	for i := range 500 {
		all = append(all, netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i % 250)}))
	}
	table.Learn("a", all, time.Minute, start)
	if got := table.Addresses("a"); !slices.Equal(got, all) {
		t.Errorf("%d addresses are known", len(got))
	}
}

func TestWhatIsKeptOverARestart(t *testing.T) {
	before := New(Limits{Grace: 10 * time.Second})
	before.Learn("a", addrs("10.0.0.1"), time.Minute, start)
	before.Learn("a", addrs("10.0.0.2"), time.Hour, start)
	written, err := json.Marshal(before.Memory())
	if err != nil {
		t.Fatal(err)
	}
	var memory Memory
	if err := json.NewDecoder(strings.NewReader(string(written))).Decode(&memory); err != nil {
		t.Fatal(err)
	}
	after := New(Limits{Grace: 10 * time.Second})
	restart := start.Add(10 * time.Minute)
	after.Recall(memory, restart)
	if got := after.text("a"); got != "[10.0.0.1 10.0.0.2]" {
		t.Fatalf("recalled: %s", got)
	}
	after.Expire(restart.Add(20*time.Second), unused)
	if got := after.text("a"); got != "[10.0.0.2]" {
		t.Errorf("later: %s", got)
	}
	after.Expire(start.Add(time.Hour+11*time.Second), unused)
	if got := after.text("a"); got != "[]" {
		t.Errorf("at the end: %s", got)
	}
}
