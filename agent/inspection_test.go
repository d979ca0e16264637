package agent

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bulkhead-dev/bulkhead/proxy"
	"github.com/bulkhead-dev/bulkhead/proxy/dns"
	"github.com/bulkhead-dev/bulkhead/proxy/http"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// doors are proxies that would not open at first.
type doors struct{ tries, closed atomic.Int32 }

func (d *doors) Close() error { d.closed.Add(1); return nil }

// TestProxiesThatDoNotOpen keep nothing else from being enforced.
func TestProxiesThatDoNotOpen(t *testing.T) {
	d := &doors{}
	t.Cleanup(func() {
		if d.closed.Load() != 1 {
			t.Errorf("the proxies were closed %d times", d.closed.Load())
		}
	})
	l := startWith(t, func(o *Options) {
		o.Proxies = func(_ context.Context, with proxy.Options) (io.Closer, error) {
			if with.Policy == nil || with.Query == nil || with.Request == nil {
				t.Errorf("the proxies are told %+v", with)
			}
			if d.tries.Add(1) < 3 {
				return nil, errors.New("the port is taken")
			}
			return d, nil
		}
	})
	l.told(t, Batch{Pods: pods(pod("n1", "a", "10.0.0.1"))})
	until(t, "the proxies", func() bool { return d.tries.Load() == 3 })
	if log := l.log.String(); strings.Count(log, "the port is taken") != 2 {
		t.Errorf("log:\n%s", log)
	}
}

// TestWhatProxiesJudge is counted, and what is denied logged, but not without
// bounds.
func TestWhatProxiesJudge(t *testing.T) {
	l := start(t)
	from, to := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80")
	l.noteQuery(dns.Note{Pod: from, Resolver: to, Protocol: traffic.UDP, Name: "good.example.", Allowed: true})
	l.noteQuery(dns.Note{Pod: from, Resolver: to, Protocol: traffic.UDP, Name: "bad.example."})
	l.noteRequest(http.Note{From: from, To: to, Method: "GET", Path: "/ok"})
	l.noteRequest(http.Note{From: from, To: to, Refused: "no Host", Malformed: true})
	for range 10 * denialsAtOnce {
		l.noteRequest(http.Note{From: from, To: to, Method: "PUT", Path: "/no", Refused: "denied by a policy"})
	}
	answer := httptest.NewRecorder()
	l.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`bulkhead_dns_queries_total{result="allowed"} 1`, `bulkhead_dns_queries_total{result="denied"} 1`,
		`bulkhead_http_requests_total{result="allowed"} 1`, `bulkhead_http_requests_total{result="malformed"} 1`,
		`bulkhead_http_requests_total{result="denied"} 1000`,
	} {
		if !strings.Contains(answer.Body.String(), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	log := l.log.String()
	if !strings.Contains(log, "bad.example.") || !strings.Contains(log, "no Host") || strings.Contains(log, "good.example.") {
		t.Errorf("log:\n%s", log)
	}
	if n := strings.Count(log, "path=/no"); n == 0 || n > 2*denialsAtOnce {
		t.Errorf("%d denials of 1,000 are logged", n)
	}
}
