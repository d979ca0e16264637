package agent

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/bulkhead-dev/bulkhead/proxy"
	"github.com/bulkhead-dev/bulkhead/proxy/dns"
	"github.com/bulkhead-dev/bulkhead/proxy/http"
)

// proxiesAgain is how long to wait before proxies that would not open are tried
// again.
const proxiesAgain = 10 * time.Second

// inspection is what the proxies judge, in metrics and in the log.
type inspection struct {
	queries, requests         *prometheus.CounterVec
	queryAllowed, queryDenied prometheus.Counter
	limit                     *rate.Limiter
}

func newInspection() *inspection {
	c := &inspection{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_dns_queries_total",
			Help: "DNS queries of pods under rules for names, by what became of them.",
		}, []string{"result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "bulkhead_http_requests_total",
			Help: "Requests on connections under rules for HTTP, by what became of them.",
		}, []string{"result"}),
		limit: rate.NewLimiter(denialsPerSecond, denialsAtOnce),
	}
	c.queryAllowed, c.queryDenied = c.queries.WithLabelValues("allowed"), c.queries.WithLabelValues("denied")
	return c
}

// loggable tells whether a denial may be logged: a pod must not fill the log.
func (c *inspection) loggable() bool { return c.limit.Allow() }

func (a *Agent) noteQuery(n dns.Note) {
	if n.Allowed {
		a.inspected.queryAllowed.Inc()
		return
	}
	a.inspected.queryDenied.Inc()
	if a.inspected.loggable() {
		a.log.Info("query denied", "pod", a.nameOf(n.Pod.Addr()), "name", n.Name, "resolver", n.Resolver.String(), "protocol", n.Protocol.String())
	}
}

func (a *Agent) noteRequest(n http.Note) {
	if n.Refused == "" {
		a.inspected.requests.WithLabelValues("allowed").Inc()
		return
	}
	result := "denied"
	if n.Malformed {
		result = "malformed"
	}
	a.inspected.requests.WithLabelValues(result).Inc()
	if a.inspected.loggable() {
		a.log.Info("request "+result, "from", a.nameOf(n.From.Addr()), "to", a.nameOf(n.To.Addr()), "port", n.To.Port(),
			"method", n.Method, "host", n.Host, "path", n.Path, "reason", n.Refused)
	}
}

// openProxies opens the proxies before the kernel gets its first tables, for they
// know which addresses names have. What keeps them from opening, such as a port
// that is taken, keeps nothing else from being enforced: they are tried again,
// and what needs them is denied meanwhile.
func (a *Agent) openProxies(ctx context.Context, running *sync.WaitGroup) {
	opened, err := a.tryProxies(ctx)
	running.Go(func() {
		for err != nil {
			a.log.Error("connections under rules for names and HTTP are denied: the proxies do not open", "error", err)
			if pause(ctx, a.options.RetryAfter, proxiesAgain) != nil {
				return
			}
			opened, err = a.tryProxies(ctx)
		}
		<-ctx.Done()
		if err := opened.Close(); err != nil {
			a.log.Warn("the proxies did not end well", "error", err)
		}
	})
}

func (a *Agent) tryProxies(ctx context.Context) (io.Closer, error) {
	return a.options.Proxies(ctx, proxy.Options{Policy: a.engine, Log: a.log, Query: a.noteQuery, Request: a.noteRequest})
}
