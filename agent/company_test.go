package agent

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

// scene is what can be seen on a node, as a test sets it.
type scene struct {
	mu       sync.Mutex
	evidence neighbour.Evidence
}

func (s *scene) set(e neighbour.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evidence = e
}

func (s *scene) look() (neighbour.Evidence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evidence, nil
}

// startBeside starts an agent on a node where something can be seen already.
func startBeside(t *testing.T, beside Beside, e neighbour.Evidence) (*lab, *scene) {
	s := &scene{evidence: e}
	return startWith(t, func(o *Options) {
		o.Look, o.Beside, o.LookAgain = s.look, beside, time.Millisecond
	}), s
}

var (
	calico = neighbour.Evidence{Chains: []string{"cali-FORWARD"}}
	both   = neighbour.Evidence{Chains: []string{"cali-FORWARD"}, Tables: []string{nft.TableName}}
)

func TestRefusesBesideAnotherEngineUntilItIsGone(t *testing.T) {
	l, s := startBeside(t, BesideRefuse, calico)
	refused := func() bool { _, r := l.company.get(); return r }
	until(t, "the refusal", refused)
	status, err := l.Status(t.Context())
	if err != nil || !status.Refused || status.Enforces() || len(status.Neighbours) != 1 || status.Neighbours[0].Name != "Calico" {
		t.Errorf("status %+v, %v", status, err)
	}
	if !strings.Contains(l.log.String(), "engine=Calico") {
		t.Errorf("log does not name it:\n%s", l.log)
	}
	s.set(neighbour.Evidence{})
	l.told(t, Batch{})
	until(t, "readiness", l.Ready)
	if refused() {
		t.Error("still refuses")
	}
	if n := len(l.warnings()); n != 1 {
		t.Errorf("%d warnings, want one", n)
	}
}

func TestGoesOnBesideAnotherEngineWhatItHasBegun(t *testing.T) {
	l, _ := startBeside(t, BesideRefuse, both)
	l.told(t, Batch{})
	until(t, "readiness", l.Ready)
	status, err := l.Status(t.Context())
	if err != nil || status.Refused || len(status.Neighbours) != 1 || status.Mode != "enforce" {
		t.Errorf("status %+v, %v: want it to enforce and to name the other", status, err)
	}
}

func TestEngineThatComesLaterIsNamed(t *testing.T) {
	l, s := startBeside(t, BesideRefuse, neighbour.Evidence{})
	l.told(t, Batch{})
	until(t, "readiness", l.Ready)
	s.set(calico)
	until(t, "it to be named", func() bool { n, refused := l.company.get(); return len(n) == 1 && !refused })
}

func TestModes(t *testing.T) {
	for _, test := range []struct {
		name     string
		audit    bool
		beside   Beside
		evidence neighbour.Evidence
		label    string
		want     bool // audited
	}{
		{"enforce", false, BesideRefuse, neighbour.Evidence{}, "", false},
		{"audit", true, BesideRefuse, neighbour.Evidence{}, "", true},
		{"audit, the namespace enforces", true, BesideRefuse, neighbour.Evidence{}, "enforce", false},
		{"enforce, the namespace audits", false, BesideRefuse, neighbour.Evidence{}, "audit", true},
		{"audit beside", false, BesideAudit, calico, "", true},
		{"audit beside, but alone", false, BesideAudit, neighbour.Evidence{}, "", false},
		{"audit beside, the namespace enforces", false, BesideAudit, calico, "enforce", false},
		{"enforce beside", false, BesideEnforce, calico, "", false},
	} {
		s := &scene{evidence: test.evidence}
		l := startWith(t, func(o *Options) { o.Audit, o.Look, o.Beside = test.audit, s.look, test.beside })
		b := Batch{Pods: pods(pod("n1", "web", "10.0.0.1")), Policies: denyAll("deny")}
		if test.label != "" {
			b.Namespaces = map[string]*cluster.Namespace{"shop": {Name: "shop", Labels: map[string]string{cluster.ModeLabel: test.label}}}
		}
		l.told(t, b)
		until(t, "readiness", l.Ready)
		status, err := l.Status(t.Context())
		if err != nil || len(status.Pods) != 1 || !status.Pods[0].Ingress.Isolated || status.Pods[0].Ingress.Audited != test.want {
			t.Errorf("%s: %+v, %v, want audited %t", test.name, status.Pods, err, test.want)
		}
	}
}

func TestBesideAsAFlag(t *testing.T) {
	for _, b := range []Beside{BesideRefuse, BesideAudit, BesideEnforce} {
		var read Beside
		if err := read.Set(b.String()); err != nil || read != b {
			t.Errorf("%s: read %s, %v", b, read, err)
		}
	}
	if err := new(Beside).Set("ignore"); err == nil {
		t.Error("no error for a choice that does not exist")
	}
}

func TestEndWhileRefusing(t *testing.T) {
	s := &scene{evidence: calico}
	a := New(Options{Node: "n1", Source: newScript(), Dataplane: newMemory(), Log: slog.New(slog.DiscardHandler), Look: s.look})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	until(t, "the refusal", func() bool { _, refused := a.company.get(); return refused })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
