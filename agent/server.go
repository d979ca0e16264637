package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// The paths that an agent answers.
const (
	PathHealth  = "/healthz"
	PathReady   = "/readyz"
	PathMetrics = "/metrics"
	PathStatus  = "/status"
	PathPlan    = "/plan"
)

// viewWait is how long a status waits for the engine.
const viewWait = 5 * time.Second

// Handler answers for health, readiness and metrics whoever asks, and for what
// names pods and policies those on this machine only: the status, and the plan
// that the agent asks the kernel for, as text.
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathHealth, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, a.Alive(), "the kernel has not answered for minutes")
	})
	mux.HandleFunc("GET "+PathReady, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, a.Ready(), "what exists is not known, or not in force yet")
	})
	mux.Handle("GET "+PathMetrics, promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{Registry: a.metrics.registry}))
	mux.HandleFunc("GET "+PathStatus, here(a.serveStatus))
	mux.HandleFunc("GET "+PathPlan, here(a.servePlan))
	return mux
}

func answer(w http.ResponseWriter, fine bool, otherwise string) {
	if !fine {
		http.Error(w, otherwise, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (a *Agent) serveStatus(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), viewWait)
	defer cancel()
	status, err := a.Status(ctx)
	if err != nil {
		http.Error(w, fmt.Sprintf("read the tables in force: %v", err), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(status); err != nil {
		a.log.Debug("status not sent", "error", err)
	}
}

func (a *Agent) servePlan(w http.ResponseWriter, r *http.Request) {
	if !a.Ready() {
		http.Error(w, "what exists is not known, or not in force yet", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), viewWait)
	defer cancel()
	var text string
	if err := a.view(ctx, func(p *plan.Plan) { text = plan.Text(p) }); err != nil {
		http.Error(w, fmt.Sprintf("read the plan: %v", err), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, text)
}

// here lets only callers on this machine through.
func here(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !sameMachine(r) {
			http.Error(w, "this is for the node itself: ask from there", http.StatusForbidden)
			return
		}
		serve(w, r)
	}
}

// sameMachine: a caller from here has a loopback address or the one that it
// calls.
func sameMachine(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if from.Addr().Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	to, err := netip.ParseAddrPort(local.String())
	return err == nil && to.Addr().Unmap() == from.Addr().Unmap()
}
