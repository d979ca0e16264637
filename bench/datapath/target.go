package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// target is what the project wants to reach, and what this run did.
type target struct {
	Name string  `json:"name"`
	Want float64 `json:"want"`
	Got  float64 `json:"got"`
	Unit string  `json:"unit,omitempty"`
	Less bool    `json:"less"` // met below Want; otherwise from Want on
	Met  bool    `json:"met"`
}

// What is to be reached. Shares are of plain connection tracking.
const (
	wantConnections = 0.95
	wantThroughput  = 0.98
	// wantFlat is the share that the most policies reach of the fewest. A table
	// whose cost grows with the policies is far below; the rest of 1 is noise.
	wantFlat    = 0.97
	wantUpdate  = 5.0 // milliseconds
	tailOfTimes = 0.99
)

// targets judges what was measured; a variant that was left out has none.
func targets(r *report, policies []int) []target {
	var all []target
	few, many := slices.Min(policies), slices.Max(policies)
	add := func(t target) {
		if math.IsNaN(t.Got) {
			return
		}
		t.Met = t.Got >= t.Want
		if t.Less {
			t.Met = t.Got < t.Want
		}
		all = append(all, t)
	}
	for _, name := range []func(int) string{bulkheadName, selectedName, mixedName} {
		add(target{Name: name(many) + ": connections/s of " + plainName, Want: wantConnections, Got: r.share(connectionsName, name(many), plainName)})
		add(target{Name: name(many) + ": throughput of " + plainName, Want: wantThroughput, Got: r.share(throughputName, name(many), plainName)})
		if many != few {
			add(target{Name: name(many) + ": connections/s of " + name(few), Want: wantFlat, Got: r.share(connectionsName, name(many), name(few))})
		}
	}
	if r.Updates != nil {
		kind, times := r.Updates.worst()
		add(target{Name: "one pod changed, compile and kernel, median of the slowest (" + kind + ")", Unit: "ms", Want: wantUpdate, Less: true, Got: median(times)})
		add(target{Name: "one pod changed, 99th of 100", Unit: "ms", Want: wantUpdate, Less: true, Got: quantile(r.Updates.totals(), tailOfTimes)})
	}
	return all
}

// share is the median over the rounds of what one variant reached of another;
// not a number if either was not measured.
func (r *report) share(work, variant, of string) float64 {
	a, b := r.find(work, variant), r.find(work, of)
	if a == nil || b == nil {
		return math.NaN()
	}
	var shares []float64
	for i := range min(len(a.Rounds), len(b.Rounds)) {
		shares = append(shares, a.Rounds[i]/b.Rounds[i])
	}
	return median(shares)
}

// total is the times of compiling and of the kernel together.
func (t *timing) total() []float64 {
	var sums []float64
	for i := range t.Compile {
		sums = append(sums, t.Compile[i]+t.Kernel[i])
	}
	return sums
}

func (u *updates) totals() []float64 {
	var all []float64
	for _, t := range u.Kinds {
		all = append(all, t.total()...)
	}
	return all
}

// worst is the kind of change with the greatest median.
func (u *updates) worst() (kind string, times []float64) {
	for k, t := range u.Kinds {
		if total := t.total(); kind == "" || median(total) > median(times) {
			kind, times = k, total
		}
	}
	return kind, times
}

func printTargets(out io.Writer, all []target) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(out, "\ntargets")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range all {
		verdict, bound := "missed", "from"
		if t.Met {
			verdict = "met"
		}
		if t.Less {
			bound = "below"
		}
		fmt.Fprintf(table, "  %s\t%.3f %s\t%s %.2f\t%s\n", t.Name, t.Got, t.Unit, bound, t.Want, verdict)
	}
	table.Flush()
}
