package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// memory is a dataplane which says what it is told.
type memory struct {
	mu      sync.Mutex
	fails   int // changes to refuse
	plans   chan *plan.Plan
	changed chan struct{}
}

func newMemory() *memory {
	return &memory{plans: make(chan *plan.Plan, 100), changed: make(chan struct{}, 1)}
}

func (m *memory) Apply(_ context.Context, p *plan.Plan) error { return m.take(p) }

func (m *memory) Update(_ context.Context, _ plan.Diff, p *plan.Plan) error { return m.take(p) }

func (m *memory) take(p *plan.Plan) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails > 0 {
		m.fails--
		return errors.New("the kernel is in a bad mood")
	}
	own := plan.New(p.Node)
	plan.Compare(own, p).Apply(own)
	m.plans <- own
	return nil
}

func (m *memory) Changed() <-chan struct{} { return m.changed }
func (m *memory) Close() error             { return nil }

// script is a source which tells what a test says.
type script struct {
	batches chan Batch
	end     chan error
	status  SourceStatus
}

func newScript() *script { return &script{batches: make(chan Batch), end: make(chan error)} }

func (s *script) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.end:
		return err
	}
}

func (s *script) Next(ctx context.Context) (Batch, error) {
	select {
	case <-ctx.Done():
		return Batch{}, ctx.Err()
	case b := <-s.batches:
		return b, nil
	}
}

func (s *script) PodAt(netip.Addr) (cluster.Name, bool) { return cluster.Name{}, false }

func (s *script) Status() SourceStatus { return s.status }

type lab struct {
	*Agent
	source *script
	kernel *memory
	log    *syncBuffer
	mu     sync.Mutex
	warned []kube.Warning
	ended  chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (l *lab) warnings() []kube.Warning {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warned
}

func start(t *testing.T) *lab { return startWith(t, func(*Options) {}) }

func startWith(t *testing.T, change func(*Options)) *lab {
	l := &lab{source: newScript(), kernel: newMemory(), log: &syncBuffer{}, ended: make(chan error, 1)}
	options := Options{
		Node: "n1", Version: "v0", Source: l.source, Dataplane: l.kernel, RetryAfter: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(l.log, nil)),
		Warn: func(w kube.Warning) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.warned = append(l.warned, w)
			return true
		},
	}
	change(&options)
	l.Agent = New(options)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.ended <- l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// told gives the agent a batch and returns the plan that comes of it.
func (l *lab) told(t *testing.T, b Batch) *plan.Plan {
	t.Helper()
	l.source.batches <- b
	return l.plan(t)
}

func (l *lab) plan(t *testing.T) *plan.Plan {
	t.Helper()
	select {
	case p := <-l.kernel.plans:
		return p
	case <-time.After(time.Minute):
		t.Fatalf("no plan came; log:\n%s", l.log)
		return nil
	}
}

// until waits for a condition that comes about in another goroutine.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func pods(all ...*cluster.Pod) map[cluster.Name]*cluster.Pod {
	m := map[cluster.Name]*cluster.Pod{}
	for _, p := range all {
		m[p.Name] = p
	}
	return m
}

func pod(node, name, addr string) *cluster.Pod {
	return &cluster.Pod{
		Name: cluster.Name{Namespace: "shop", Name: name}, Node: node, Labels: map[string]string{"app": name},
		Addrs: []netip.Addr{netip.MustParseAddr(addr)},
	}
}

func denyAll(name string) map[policy.Ref]*policy.Policy {
	object := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	p, errs := k8s.Read(object)
	if len(errs) > 0 {
		panic(errs.ToAggregate())
	}
	return map[policy.Ref]*policy.Policy{p.Ref: p}
}

func TestAgentPutsWhatItIsToldIntoForce(t *testing.T) {
	l := start(t)
	web := pod("n1", "web", "10.0.0.1")
	p := l.told(t, Batch{Pods: pods(web, pod("n2", "far", "10.0.1.1")), Policies: denyAll("deny")})
	if local := p.Local[web.Addrs[0]]; local.Ingress == 0 || local.Egress != 0 {
		t.Errorf("classes %+v, want the pod isolated for ingress", local)
	}
	for ref := range denyAll("deny") {
		p = l.told(t, Batch{Policies: map[policy.Ref]*policy.Policy{ref: nil}})
	}
	if local := p.Local[web.Addrs[0]]; local != (plan.Local{}) {
		t.Errorf("classes %+v after the policy is gone, want none", local)
	}
}

func TestNothingReachesTheKernelBeforeTheFirstBatch(t *testing.T) {
	l := start(t)
	if l.Ready() {
		t.Error("ready before anything was told")
	}
	select {
	case p := <-l.kernel.plans:
		t.Errorf("plan %+v before anything was told", p)
	default:
	}
	l.told(t, Batch{}) // an empty cluster is a cluster
	until(t, "readiness", l.Ready)
}

func TestEndLeavesTheKernelAlone(t *testing.T) {
	l := &lab{source: newScript(), kernel: newMemory(), log: &syncBuffer{}}
	l.Agent = New(Options{Node: "n1", Source: l.source, Dataplane: l.kernel, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := len(l.kernel.plans); n != 0 {
		t.Errorf("%d changes of the kernel at the end", n)
	}
}

func TestSourceThatEndsIsAnError(t *testing.T) {
	l := start(t)
	l.source.end <- errors.New("no such folder")
	if err := <-l.ended; err == nil || !strings.Contains(err.Error(), "no such folder") {
		t.Errorf("ended with %v, want the source's error", err)
	}
}

func TestRefusedChangeIsTriedAgainAndTold(t *testing.T) {
	l := start(t)
	l.told(t, Batch{})
	until(t, "readiness", l.Ready)
	l.kernel.mu.Lock()
	l.kernel.fails = 3
	l.kernel.mu.Unlock()
	p := l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")})
	if len(p.Classes) != 1 {
		t.Errorf("%d classes, want one", len(p.Classes))
	}
	until(t, "the failure to be over", func() bool { return l.Agent.kernel.State().Failed == "" })
	if !strings.Contains(l.log.String(), "bad mood") {
		t.Errorf("log does not say why:\n%s", l.log)
	}
	if n := l.Agent.kernel.State().Restored; n != 1 {
		t.Errorf("restored %d times, want once", n)
	}
}

func TestForeignChangeIsPutRight(t *testing.T) {
	l := start(t)
	want := l.told(t, Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")})
	l.kernel.changed <- struct{}{}
	if diff := plan.Compare(want, l.plan(t)); !diff.Empty() {
		t.Errorf("put back with a difference:\n%s", diff.Text())
	}
}

func TestFaultIsLoggedWarnedOfAndListedUntilMended(t *testing.T) {
	l := start(t)
	object := kube.Object{Kind: "NetworkPolicy", Name: cluster.Name{Namespace: "shop", Name: "odd"}, UID: "1"}
	fault := Fault{Object: object, Reason: NotEnforced, Errs: field.ErrorList{
		field.Invalid(field.NewPath("spec", "podSelector"), "x", "odd selector"),
	}}
	l.told(t, Batch{Policies: denyAll("good"), Pods: pods(pod("n1", "web", "10.0.0.1")), Faults: []Fault{fault}})
	open := l.faults.list()
	if len(open) != 1 || open[0].Object != "NetworkPolicy shop/odd" || !strings.Contains(open[0].Text, "spec.podSelector") {
		t.Errorf("open faults %+v", open)
	}
	if !strings.Contains(l.log.String(), "NOT enforced") || !strings.Contains(l.log.String(), "shop/odd") {
		t.Errorf("log does not name it:\n%s", l.log)
	}
	l.source.batches <- Batch{Faults: []Fault{fault}} // the same again
	l.source.batches <- Batch{Faults: []Fault{{Object: object, Reason: NotEnforced}}}
	until(t, "the fault to go", func() bool { return len(l.faults.list()) == 0 })
	warned := l.warnings()
	if len(warned) != 1 || warned[0].Object.UID != "1" || !strings.Contains(warned[0].Note, "odd selector") {
		t.Errorf("warned %+v, want once", warned)
	}
}

func get(t *testing.T, l *lab, path, from string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestStatusSaysWhichPodsAreProtectedByWhat(t *testing.T) {
	l := start(t)
	open := pod("n1", "open", "10.0.0.2")
	open.Namespace = "other"
	l.told(t, Batch{
		Nodes:    map[string]*cluster.Node{"n1": {Name: "n1"}},
		Pods:     pods(pod("n1", "web", "10.0.0.1"), open, pod("n2", "far", "10.0.1.1")),
		Policies: denyAll("deny"),
	})
	until(t, "readiness", l.Ready)
	code, body := get(t, l, PathStatus, "127.0.0.1:1")
	var status Status
	if err := json.Unmarshal([]byte(body), &status); err != nil || code != http.StatusOK {
		t.Fatalf("%d, %v: %s", code, err, body)
	}
	var got []string
	for _, p := range status.Pods {
		got = append(got, fmt.Sprintf("%s ingress=%v%v egress=%v%v since=%t", p.Pod,
			p.Ingress.Isolated, p.Ingress.Policies, p.Egress.Isolated, p.Egress.Policies, p.Since != nil))
	}
	want := "other/open ingress=false[] egress=false[] since=false; shop/web ingress=true[shop/deny] egress=false[] since=true"
	if joined := strings.Join(got, "; "); joined != want {
		t.Errorf("got  %s\nwant %s", joined, want)
	}
	if status.Policies != 1 || !status.NodeExists || !status.Ready || status.Kernel.Changed.IsZero() {
		t.Errorf("status %+v", status)
	}
}

func TestStatusIsForTheSameMachineOnly(t *testing.T) {
	l := start(t)
	for from, want := range map[string]int{
		"127.0.0.1:1": http.StatusOK, "[::1]:1": http.StatusOK, "[::ffff:127.0.0.1]:1": http.StatusOK,
		"192.0.2.1:1": http.StatusForbidden, "[2001:db8::1]:1": http.StatusForbidden, "nonsense": http.StatusForbidden,
	} {
		if code, _ := get(t, l, PathStatus, from); code != want {
			t.Errorf("from %s: %d, want %d", from, code, want)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	l := start(t)
	for path, want := range map[string]int{PathHealth: http.StatusOK, PathReady: http.StatusServiceUnavailable} {
		if code, body := get(t, l, path, "192.0.2.1:1"); code != want {
			t.Errorf("%s at start: %d %s, want %d", path, code, body, want)
		}
	}
	l.told(t, Batch{})
	until(t, "readiness", l.Ready)
	if code, _ := get(t, l, PathReady, "192.0.2.1:1"); code != http.StatusOK {
		t.Errorf("%s when in force: %d", PathReady, code)
	}
	l.Agent.mu.Lock()
	l.working[l.batches+1] = time.Now().Add(-2 * stuckAfter)
	l.Agent.mu.Unlock()
	if code, _ := get(t, l, PathHealth, "192.0.2.1:1"); code != http.StatusServiceUnavailable {
		t.Errorf("%s while the kernel is stuck: %d", PathHealth, code)
	}
}
