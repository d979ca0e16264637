package compile

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// passes tells whether the filters of all nodes let a connection's content pass.
func passes(plans map[string]*plan.Plan, c verdict.Connection) bool {
	packet := plan.Packet{From: c.From.Addr, To: c.To.Addr, Protocol: c.Protocol, Port: c.Port}
	for node, p := range plans {
		if packet.FromNode = c.From.Host() == node; packet.FromNode {
			continue
		}
		for _, f := range plan.NewIndex(p).Filters(packet) {
			ok := false
			if c.Request != nil {
				_, _, ok = f.Request(c.Request)
			} else {
				_, ok = f.Name(c.Query)
			}
			if !ok {
				return false
			}
		}
	}
	return true
}

func TestFiltersAgreeWithTheEvaluator(t *testing.T) {
	inspected := map[traffic.Verdict]int{}
	decided := map[bool]int{}
	for i := range *count {
		r := gen.Source(*seed, i)
		w := gen.New(r, content(gen.Small))
		plans, e := plansOf(w), verdict.New(w.Snapshot, w.Set)
		for _, c := range gen.Connections(r, w.Endpoints(), perWorld) {
			v := e.Verdict(c)
			inspected[v]++
			gen.Carry(v, func(request *l7.Request, query string) {
				with := c
				with.Request, with.Query = request, query
				got, want := passes(plans, with), e.Verdict(with) == traffic.Allow
				decided[want]++
				if got != want {
					t.Fatalf("-seed %d, world %d: %s with %+v %s: the filters say %t, the evaluator the contrary, in\n%s", *seed, i, c, request, query, got, w)
				}
			})
		}
	}
	t.Logf("connections %v, contents %v", inspected, decided)
	if inspected[traffic.InspectHTTP] == 0 || inspected[traffic.InspectDNS] == 0 || decided[true] == 0 || decided[false] == 0 {
		t.Errorf("the worlds do not try much: connections %v, contents %v", inspected, decided)
	}
}
