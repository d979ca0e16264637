package kube

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// statusServer takes patches of a status, and answers what it is told to.
type statusServer struct {
	answers []*apierrors.StatusError // nil: fine; after the last: fine
	patches chan string              // "path version status generation"
}

func (s *statusServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var patch struct {
		Metadata struct{ ResourceVersion, UID string }
		Status   struct{ Conditions []metav1.Condition }
	}
	if err := errors.Join(err, json.Unmarshal(body, &patch)); err != nil || len(patch.Status.Conditions) != 1 {
		panic(string(body))
	}
	condition := patch.Status.Conditions[0]
	s.patches <- strings.Join([]string{r.Method, r.URL.Path, r.URL.Query().Get("fieldManager"), r.Header.Get("Content-Type"),
		patch.Metadata.ResourceVersion, condition.Type, string(condition.Status), condition.Reason}, " ")
	w.Header().Set("Content-Type", "application/json")
	var answer *apierrors.StatusError
	if len(s.answers) > 0 {
		answer, s.answers = s.answers[0], s.answers[1:]
	}
	if answer != nil {
		w.WriteHeader(int(answer.ErrStatus.Code))
		json.NewEncoder(w).Encode(answer.ErrStatus)
		return
	}
	io.WriteString(w, "{}")
}

func newConditions(t *testing.T, s *statusServer) *Conditions {
	s.patches = make(chan string, 10)
	server := httptest.NewServer(s)
	client, err := newClient(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c := NewConditions(client, "agent", "example.com/Accepted", slog.New(slog.DiscardHandler))
	c.spread = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done; server.Close() })
	return c
}

// seen is an object of a generation and version, with conditions.
func seen(t *testing.T, name, version string, generation int64, conditions ...metav1.Condition) *Custom {
	object := map[string]any{
		"apiVersion": "policy.example.com/v2", "kind": "Wall",
		"metadata": map[string]any{"name": name, "uid": "uid-" + name, "resourceVersion": version, "generation": generation},
		"status":   map[string]any{"conditions": conditions},
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := decodeCustom(text)
	if err != nil {
		t.Fatal(err)
	}
	return custom
}

var yes = metav1.Condition{Status: metav1.ConditionTrue, Reason: "Fine"}

const patched = "PATCH /apis/policy.example.com/v2/walls/"

func TestConditionIsWrittenOnce(t *testing.T) {
	busy := apierrors.NewInternalError(errors.New("busy"))
	conflict := apierrors.NewConflict(schema.GroupResource{}, "north", errors.New("changed"))
	for _, row := range []struct {
		name    string
		answers []*apierrors.StatusError
		writes  int
	}{
		{"at once", nil, 1},
		{"busy at first", []*apierrors.StatusError{busy, busy}, 3},
		{"somebody was faster", []*apierrors.StatusError{conflict}, 1},
		{"gone", []*apierrors.StatusError{apierrors.NewNotFound(schema.GroupResource{}, "north")}, 1},
		{"forbidden", []*apierrors.StatusError{apierrors.NewForbidden(schema.GroupResource{}, "north", errors.New("no"))}, 1},
	} {
		s := &statusServer{answers: row.answers}
		c := newConditions(t, s)
		c.See(seen(t, "north", "7", 1), "walls", yes)
		const want = patched + "north/status agent application/apply-patch+yaml 7 example.com/Accepted True Fine"
		for range row.writes {
			if got := <-s.patches; got != want {
				t.Errorf("%s: wrote %q, want %q", row.name, got, want)
			}
		}
		// What comes next is of another object: the first is settled.
		c.See(seen(t, "south", "9", 1), "walls", yes)
		if got := <-s.patches; !strings.HasPrefix(got, patched+"south/") {
			t.Errorf("%s: wrote %q after all", row.name, got)
		}
	}
}

// Which conditions are left alone.
func TestConditionsThatStand(t *testing.T) {
	c := &Conditions{started: time.Now()}
	at := func(age time.Duration, generation int64, is metav1.Condition) *metav1.Condition {
		is.LastTransitionTime, is.ObservedGeneration = metav1.NewTime(c.started.Add(-age)), generation
		return &is
	}
	no := metav1.Condition{Status: metav1.ConditionFalse, Reason: "Bad"}
	want := *at(0, 2, yes)
	for _, row := range []struct {
		name  string
		is    *metav1.Condition
		stale bool
	}{
		{"none", nil, true},
		{"the same", at(time.Hour, 2, yes), false},
		{"the same of an older generation", at(time.Hour, 1, yes), true},
		{"another that was written before this agent began", at(time.Hour, 2, no), true},
		{"another that was written since", at(-time.Hour, 2, no), false},
	} {
		if got := c.stale(row.is, want); got != row.stale {
			t.Errorf("%s: stale %t, want %t", row.name, got, row.stale)
		}
	}
}

// The first of all agents writes; the others see that and do not.
func TestConditionOfSomebodyElseIsSeen(t *testing.T) {
	s := &statusServer{}
	c := newConditions(t, s)
	c.spread = time.Hour
	c.See(seen(t, "north", "7", 1), "walls", yes)
	written := yes
	written.Type, written.ObservedGeneration = "example.com/Accepted", 1
	c.See(seen(t, "north", "8", 1, written), "walls", yes)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.due) != 0 || len(s.patches) != 0 {
		t.Errorf("%d are due, %d were written", len(c.due), len(s.patches))
	}
}
