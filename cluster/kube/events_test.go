package kube

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

func newTestEvents(t *testing.T, s *apiServer, node string) *Events {
	e := NewEvents(s.client(t), "bulkhead.dev/agent", node, slog.New(slog.DiscardHandler))
	e.retry = quick
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return e
}

func (s *apiServer) written(t *testing.T, n int) []*eventsv1.Event {
	t.Helper()
	for {
		s.mu.Lock()
		events, changed := s.events, s.changed
		s.mu.Unlock()
		if len(events) >= n {
			return events
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("%d events, want %d", len(events), n)
		}
	}
}

func warning(name, note string) Warning {
	return Warning{
		Object: Object{
			APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy",
			Name: cluster.Name{Namespace: "shop", Name: name}, UID: "1234", Generation: 2,
		},
		Reason: "NotEnforced", Action: "Enforce", Note: note,
	}
}

func TestWarningBecomesAnEvent(t *testing.T) {
	s := newAPIServer(t)
	newTestEvents(t, s, "n1").Warn(warning("deny", "spec.podSelector: odd"))
	event := s.written(t, 1)[0]
	r := event.Regarding
	if r.APIVersion != "networking.k8s.io/v1" || r.Kind != "NetworkPolicy" || r.Namespace != "shop" || r.Name != "deny" || r.UID != "1234" {
		t.Errorf("regarding %+v", r)
	}
	if event.Namespace != "shop" || event.Type != "Warning" || event.Note != "spec.podSelector: odd" || event.ReportingInstance != "n1" {
		t.Errorf("event %+v", event)
	}
}

func TestAgentsOfAllNodesWriteOneEvent(t *testing.T) {
	s := newAPIServer(t)
	one, two := newTestEvents(t, s, "n1"), newTestEvents(t, s, "n2")
	one.Warn(warning("deny", "odd"))
	s.written(t, 1)
	two.Warn(warning("deny", "odd"))
	two.Warn(warning("deny", "odd in another way"))
	if events := s.written(t, 2); len(events) != 2 || events[1].Note != "odd in another way" {
		t.Errorf("%d events, want one of each", len(events))
	}
}

func TestEventIsTriedAgain(t *testing.T) {
	s := newAPIServer(t)
	s.set(func() { s.failures = 1 })
	newTestEvents(t, s, "n1").Warn(warning("deny", "odd"))
	s.written(t, 1)
}

func TestFullQueueMakesNobodyWait(t *testing.T) {
	e := NewEvents(newAPIServer(t).client(t), "bulkhead.dev/agent", "n1", slog.New(slog.DiscardHandler))
	for range eventsQueued { // nobody reads
		if !e.Warn(warning("deny", "odd")) {
			t.Fatal("dropped although there was room")
		}
	}
	if e.Warn(warning("deny", "odd")) {
		t.Error("accepted what cannot be queued")
	}
}

func TestEventKeepsTheServersLimits(t *testing.T) {
	e := NewEvents(newAPIServer(t).client(t), "bulkhead.dev/agent", strings.Repeat("n", 253), slog.Default())
	for _, name := range []string{"deny", strings.Repeat("a", 253), strings.Repeat("a", longestName-1) + ".b"} {
		event := e.event(warning(name, strings.Repeat("é", 1000)))
		if errs := validation.NameIsDNSSubdomain(event.Name, false); len(errs) > 0 {
			t.Errorf("name %q: %v", event.Name, errs)
		}
		if len(event.Note) > longestNote || len(event.ReportingInstance) > longestInstance {
			t.Errorf("note of %d bytes, instance of %d", len(event.Note), len(event.ReportingInstance))
		}
	}
	w := warning("x", "y")
	w.Object.Namespace = ""
	if got := e.event(w).Namespace; got != "default" {
		t.Errorf("event about a cluster-wide object in namespace %q", got)
	}
}
