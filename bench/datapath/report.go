package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what a run found.
type report struct {
	Pods   int           `json:"pods"`
	Rounds int           `json:"rounds"`
	Slice  time.Duration `json:"sliceNanoseconds"`
	// Results are by workload and variant, in the order in which they were first
	// measured; the slices hold one number for each round.
	Results []*result `json:"results"`
	Updates *updates  `json:"updates,omitempty"`
	Targets []target  `json:"targets"`
}

type result struct {
	Workload string    `json:"workload"`
	Variant  string    `json:"variant"`
	Unit     string    `json:"unit"`
	Rounds   []float64 `json:"rounds"`
	Median   float64   `json:"median"`
	// Ratio is the median over the rounds of what the variant reached of plain
	// connection tracking; below 1 is worse.
	Ratio          float64 `json:"ratio"`
	LowRatio       float64 `json:"lowerQuartileRatio"`
	HighRatio      float64 `json:"upperQuartileRatio"`
	smallerIsFiner bool
}

func newReport(o options) *report { return &report{Pods: o.pods, Rounds: o.rounds, Slice: o.slice} }

func (r *report) note(variant, work string, n float64) {
	found := r.find(work, variant)
	if found == nil {
		w := workloads[slices.IndexFunc(workloads, func(w workload) bool { return w.name == work })]
		found = &result{Workload: work, Variant: variant, Unit: w.unit, smallerIsFiner: w.less}
		r.Results = append(r.Results, found)
	}
	found.Rounds = append(found.Rounds, n)
	r.summarize()
}

func (r *report) find(work, variant string) *result {
	for _, found := range r.Results {
		if found.Workload == work && found.Variant == variant {
			return found
		}
	}
	return nil
}

func (r *report) summarize() {
	for _, x := range r.Results {
		x.Median = median(x.Rounds)
		plain := r.find(x.Workload, plainName)
		if plain == nil {
			continue
		}
		var ratios []float64
		for i := range min(len(x.Rounds), len(plain.Rounds)) {
			ratio := x.Rounds[i] / plain.Rounds[i]
			if x.smallerIsFiner {
				ratio = 1 / ratio
			}
			ratios = append(ratios, ratio)
		}
		x.Ratio, x.LowRatio, x.HighRatio = median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75)
	}
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile is zero of no values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%d pods; medians of %d rounds of %s; ratio: of plain connection tracking in the same round, with quartiles\n", r.Pods, r.Rounds, r.Slice)
	for _, w := range workloads {
		fmt.Fprintf(out, "\n%s (%s)\n", w.name, w.unit)
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, name := range r.variants() {
			x := r.find(w.name, name)
			if x == nil {
				continue
			}
			fmt.Fprintf(table, "  %s\t%s\t%.1f %%\t(%.1f to %.1f)\n", name, figure(x.Median), 100*x.Ratio, 100*x.LowRatio, 100*x.HighRatio)
		}
		table.Flush()
	}
	if r.Updates != nil {
		r.Updates.print(out)
	}
	printTargets(out, r.Targets)
}

func figure(n float64) string {
	if n < 100 {
		return fmt.Sprintf("%.2f", n)
	}
	return fmt.Sprintf("%.0f", n)
}
