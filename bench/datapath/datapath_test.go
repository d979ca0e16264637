package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// TestRun goes through all of it once, with as little as possible of everything.
func TestRun(t *testing.T) {
	o, err := parse([]string{"-rounds", "1", "-duration", "50ms", "-pods", "1000", "-policies", "10,20", "-updates", "8"})
	if err != nil {
		t.Fatal(err)
	}
	paths, err := build(context.Background(), o)
	t.Cleanup(func() {
		for _, p := range paths {
			if err := p.close(); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(o)
	if err := measure(context.Background(), o, paths, r); err != nil {
		t.Fatal(err)
	}
	want := []string{noneName, plainName, "bulkhead-10", "bulkhead-20", "bulkhead-10-mixed", "bulkhead-20-mixed", "bulkhead-10-selected", "bulkhead-20-selected", "iptables-10", "iptables-20"}
	if got := r.variants(); !slices.Equal(got, want) {
		t.Errorf("variants %v, want %v", got, want)
	}
	for _, w := range workloads {
		for _, variant := range want {
			if x := r.find(w.name, variant); x == nil || x.Median <= 0 {
				t.Errorf("%s of %s: %+v", w.name, variant, x)
			}
		}
	}
	for _, p := range paths {
		if p.name != "bulkhead-20" {
			continue
		}
		if r.Updates, err = p.update(context.Background(), o.updates); err != nil {
			t.Fatal(err)
		}
	}
	if r.Updates == nil || len(r.Updates.Kinds) == 0 {
		t.Fatal("no updates were timed")
	}
	var out bytes.Buffer
	r.print(&out)
	for _, want := range append(want, "connect-request-response", "elsewhere, start") {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not mention %q:\n%s", want, out.String())
		}
	}
}
