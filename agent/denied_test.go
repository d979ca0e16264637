package agent

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// counter is a dataplane with counters that a test sets.
type counter struct {
	*memory
	denied map[plan.ClassID]nft.Denied
	err    error
}

func (c *counter) Denied(context.Context) (map[plan.ClassID]nft.Denied, error) {
	return c.denied, c.err
}

func TestDeniedPacketsAddUpAndNeverFall(t *testing.T) {
	d := &counter{memory: newMemory()}
	c := newDeniedCounts(d)
	c.know(1, &plan.Class{Direction: traffic.Ingress, Policies: []string{"shop/a", "shop/b"}})
	c.know(2, &plan.Class{Direction: traffic.Ingress, Policies: []string{"shop/b"}})
	c.know(3, &plan.Class{Direction: traffic.Egress, Policies: []string{"shop/b", "other/c"}, Audit: true})
	shop, several := deniedBy{traffic.Ingress, "shop", "enforce"}, deniedBy{traffic.Egress, "", "audit"}
	for _, step := range []struct {
		what          string
		kernel        map[plan.ClassID]uint64
		forget        plan.ClassID
		shop, several uint64
	}{
		{"first", map[plan.ClassID]uint64{1: 5, 2: 1, 3: 7, 99: 1}, 0, 6, 7},
		{"more", map[plan.ClassID]uint64{1: 8, 2: 1, 3: 7}, 0, 9, 7},
		{"a class goes", map[plan.ClassID]uint64{2: 2, 3: 7}, 1, 10, 7},
		{"a counter begins anew", map[plan.ClassID]uint64{2: 2, 3: 1}, 0, 10, 8},
	} {
		if step.forget != 0 {
			c.forget(step.forget)
		}
		d.denied = map[plan.ClassID]nft.Denied{}
		for id, n := range step.kernel {
			d.denied[id] = nft.Denied{Packets: n, Bytes: 100 * n}
		}
		if err := c.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.packets[shop] != step.shop || c.packets[several] != step.several || c.bytes[shop] != 100*step.shop {
			t.Errorf("%s: %v packets, %v bytes, want %d of shop and %d of several", step.what, c.packets, c.bytes, step.shop, step.several)
		}
	}
}

func TestDeniedPacketsAreInTheMetrics(t *testing.T) {
	l := start(t)
	d := &counter{memory: l.kernel}
	l.metrics.denied.dataplane = d
	p := l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	d.denied = map[plan.ClassID]nft.Denied{}
	for id := range p.Classes {
		d.denied[id] = nft.Denied{Packets: 3, Bytes: 180}
	}
	for range 2 {
		_, body := get(t, l, PathMetrics, "192.0.2.1:1")
		if want := `bulkhead_denied_packets_total{direction="ingress",mode="enforce",namespace="shop"} 3` + "\n"; !strings.Contains(body, want) {
			t.Errorf("no line %q in\n%s", want, body)
		}
	}
	for ref := range denyAll("deny") {
		l.told(t, Batch{Policies: map[policy.Ref]*policy.Policy{ref: nil}})
	}
	d.denied = nil
	for i, want := range []bool{true, false} {
		if _, body := get(t, l, PathMetrics, "192.0.2.1:1"); strings.Contains(body, "denied_packets_total{") != want {
			t.Errorf("scrape %d after the class went: there %t, want %t", i+1, !want, want)
		}
	}
	d.err = errors.New("no counters")
	if code, _ := get(t, l, PathMetrics, "192.0.2.1:1"); code != http.StatusInternalServerError {
		t.Errorf("%d although the kernel did not answer", code)
	}
}
