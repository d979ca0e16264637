package agent

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

func TestNodeProblemsAreToldOnceAndShownUntilTheyAreOver(t *testing.T) {
	var mu sync.Mutex
	bridge := nft.Problem{Name: "bridge", Fatal: true, Text: "pods reach each other past all policies"}
	found := []nft.Problem{bridge}
	l := startWith(t, func(o *Options) {
		o.LookAgain = time.Millisecond
		o.Look = func() (neighbour.Evidence, error) { return neighbour.Evidence{}, nil }
		o.Check = func(context.Context) ([]nft.Problem, error) {
			mu.Lock()
			defer mu.Unlock()
			return found, nil
		}
	})
	l.told(t, Batch{})
	until(t, "readiness", l.Ready)
	status, err := l.Status(t.Context())
	if err != nil || len(status.Problems) != 1 || status.Problems[0].Name != "bridge" || status.Enforces() {
		t.Errorf("status %+v, %v: want it not to enforce because of the bridge", status, err)
	}
	if _, body := get(t, l, PathMetrics, "192.0.2.1:1"); !strings.Contains(body, `bulkhead_node_problem{fatal="true",problem="bridge"} 1`) {
		t.Errorf("not in the metrics:\n%s", body)
	}
	mu.Lock()
	found = []nft.Problem{{Name: "conntrack", Text: "91 of 100"}}
	mu.Unlock()
	until(t, "the bridge to be over", func() bool { return strings.Contains(l.log.String(), "node's problem is over") })
	if status, err := l.Status(t.Context()); err != nil || len(status.Problems) != 1 || !status.Enforces() {
		t.Errorf("status %+v, %v: want it to enforce although the table of connections is nearly full", status, err)
	}
	if n := strings.Count(l.log.String(), "problem=bridge policies-not-enforced=true"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, l.log)
	}
	if n := len(l.warnings()); n != 2 {
		t.Errorf("%d warnings, want one for each problem", n)
	}
}
