package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/dataplane/audit"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// told is a listener that a test feeds.
type fedDenials struct {
	denials chan audit.Denial
	closed  chan struct{}
}

func newFedDenials() *fedDenials {
	return &fedDenials{make(chan audit.Denial), make(chan struct{})}
}

func (f *fedDenials) Next() (audit.Denial, error) {
	select {
	case d := <-f.denials:
		return d, nil
	case <-f.closed:
		return audit.Denial{}, audit.ErrClosed
	}
}

func (f *fedDenials) Missed() uint64 { return 7 }

func (f *fedDenials) Close() error { close(f.closed); return nil }

func denialOf(port uint16) audit.Denial {
	return audit.Denial{
		Direction: traffic.Ingress, From: netip.MustParseAddr("10.0.9.9"), To: netip.MustParseAddr("10.0.0.1"),
		Protocol: traffic.TCP, FromPort: 40000, ToPort: port,
	}
}

func TestDenialsAreLoggedWithTheirPolicies(t *testing.T) {
	fed := newFedDenials()
	l := startWith(t, func(o *Options) { o.Denials, o.Audit = fed, true })
	p := l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")})
	until(t, "readiness", l.Ready)
	d := denialOf(80)
	for id := range p.Classes {
		d.Class = id
	}
	for range 2 {
		fed.denials <- d
	}
	fed.denials <- denialOf(81)
	until(t, "the log", func() bool { return strings.Contains(l.log.String(), "port=81") })
	line := `msg="would be denied" direction=ingress from=10.0.9.9 to=10.0.0.1 protocol=TCP port=80 policies=shop/deny`
	if n := strings.Count(l.log.String(), line); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, l.log)
	}
	if _, body := get(t, l, PathMetrics, "192.0.2.1:1"); !strings.Contains(body, "bulkhead_audit_missed_total 7\n") {
		t.Errorf("missed ones are not in the metrics:\n%s", body)
	}
}

func TestDenialsDoNotFloodTheLog(t *testing.T) {
	log, now := newDenialLog(), time.Unix(0, 0)
	logged := 0
	for port := range 1000 {
		if _, due := log.due(denialOf(uint16(port)), now); due {
			logged++
		}
	}
	if logged != denialsAtOnce {
		t.Errorf("%d of 1000 at once were logged, want %d", logged, denialsAtOnce)
	}
	if left, due := log.due(denialOf(2000), now.Add(time.Second)); !due || left != 1000-denialsAtOnce {
		t.Errorf("a second later: due %t after %d left out", due, left)
	}
	if _, due := log.due(denialOf(0), now.Add(denialAgain-1)); due {
		t.Error("the same again within a minute")
	}
	if _, due := log.due(denialOf(0), now.Add(denialAgain)); !due {
		t.Error("not again after a minute")
	}
	for port := range 2 * denialsKnown {
		log.due(denialOf(uint16(port)), now.Add(time.Duration(port)*time.Second))
	}
	if len(log.seen) > denialsKnown {
		t.Errorf("%d are remembered", len(log.seen))
	}
}
