package compile

import (
	"flag"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

var seed = flag.Uint64("seed", 1, "where random numbers start")

func TestSmoke(t *testing.T) {
	for _, general := range []bool{false, true} {
		shape := gen.Small
		shape.General = general
		allowed, n := 0, 0
		for i := range 500 {
			r := gen.Source(*seed, i)
			w := gen.New(r, shape)
			plans := map[string]*plan.Plan{}
			for name := range w.Snapshot.Nodes {
				plans[name] = Full(name, w.Snapshot, w.Set)
				if _, err := plan.Parse(plan.Text(plans[name])); err != nil {
					t.Fatal(err)
				}
			}
			e := verdict.New(w.Snapshot, w.Set)
			for _, c := range gen.Connections(r, w.Endpoints(), 200) {
				got, want := trace(plans, c), e.Verdict(c)
				if got != want {
					t.Fatalf("world %d: %s: plans say %s, evaluator %s", i, c, got, want)
				}
				allowed += int(got)
				n++
			}
		}
		t.Log(n, allowed)
	}
}

func trace(plans map[string]*plan.Plan, c verdict.Connection) traffic.Verdict {
	packet := plan.Packet{From: c.From.Addr, To: c.To.Addr, Protocol: c.Protocol, Port: c.Port}
	for node, p := range plans {
		packet.FromNode = c.From.Host() == node
		if p.Trace(packet) == traffic.Deny {
			return traffic.Deny
		}
	}
	return traffic.Allow
}
