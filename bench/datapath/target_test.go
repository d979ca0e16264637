package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// measured is a report of given numbers, one for each round.
func measured(numbers map[string]map[string][]float64) *report {
	r := newReport(options{rounds: 3, slice: time.Second, pods: 1000})
	for work, variants := range numbers {
		for _, name := range []string{plainName, "bulkhead-10", "bulkhead-1000"} {
			for _, n := range variants[name] {
				r.note(name, work, n)
			}
		}
	}
	return r
}

func TestTargets(t *testing.T) {
	for _, row := range []struct {
		name                   string
		plain, few, many       []float64 // connections/s
		ofConntrack, ofFewMany bool
	}{
		{"equal", []float64{100, 100, 100}, []float64{100, 100, 100}, []float64{100, 100, 100}, true, true},
		{"just enough", []float64{100, 100, 100}, []float64{95, 95, 95}, []float64{95, 95, 95}, true, true},
		{"slow with any number", []float64{100, 100, 100}, []float64{80, 80, 80}, []float64{80, 80, 80}, false, true},
		{"a slope", []float64{100, 100, 100}, []float64{110, 110, 110}, []float64{96, 96, 96}, true, false},
		{"one bad round", []float64{100, 100, 100}, []float64{100, 100, 100}, []float64{100, 10, 100}, true, true},
		{"a machine that slows down", []float64{100, 50, 10}, []float64{100, 50, 10}, []float64{98, 49, 9.8}, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := measured(map[string]map[string][]float64{connectionsName: {plainName: row.plain, "bulkhead-10": row.few, "bulkhead-1000": row.many}})
			all := targets(r, []int{1000, 10})
			if len(all) != 2 {
				t.Fatalf("%d targets, want the two that were measured: %+v", len(all), all)
			}
			if all[0].Met != row.ofConntrack || all[1].Met != row.ofFewMany {
				t.Errorf("of conntrack: met %t, of few policies: met %t; want %t, %t", all[0].Met, all[1].Met, row.ofConntrack, row.ofFewMany)
			}
		})
	}
}

func TestTargetsOfUpdates(t *testing.T) {
	for _, row := range []struct {
		name   string
		slow   []float64 // milliseconds of the kernel for one kind of change
		median bool
		tail   bool
	}{
		{"fast", []float64{1, 1, 1}, true, true},
		{"compile counts too", []float64{4.5, 4.5, 4.5}, false, false},
		{"a rare slow one", []float64{1, 1, 400}, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newReport(options{})
			r.Updates = &updates{Kinds: map[string]*timing{
				"fine": {Compile: []float64{0, 0, 0}, Kernel: []float64{0.1, 0.1, 0.1}},
				"slow": {Compile: []float64{0.6, 0.6, 0.6}, Kernel: row.slow},
			}}
			all := targets(r, []int{10})
			if len(all) != 2 || !strings.Contains(all[0].Name, "(slow)") {
				t.Fatalf("got %+v, want median and tail, of the slow kind", all)
			}
			if all[0].Met != row.median || all[1].Met != row.tail {
				t.Errorf("met %t, %t; want %t, %t", all[0].Met, all[1].Met, row.median, row.tail)
			}
		})
	}
}

func TestPrintTargets(t *testing.T) {
	var out bytes.Buffer
	printTargets(&out, []target{
		{Name: "connections", Want: 0.95, Got: 0.9},
		{Name: "update", Want: 5, Got: 1.5, Unit: "ms", Less: true, Met: true},
	})
	want := "\ntargets\n  connections  0.900     from 0.95   missed\n  update       1.500 ms  below 5.00  met\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
