package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// report is what was measured, in order.
type report struct {
	size size
	rows []row
}

type row struct{ what, value, target string }

func (r *report) add(what, format string, values ...any) {
	r.rows = append(r.rows, row{what: what, value: fmt.Sprintf(format, values...)})
}

// judge adds to the last row whether it is below a target.
func (r *report) judge(value, target float64, unit string) {
	word := "met"
	if value >= target {
		word = "missed"
	}
	r.rows[len(r.rows)-1].target = fmt.Sprintf("below %g %s: %s", target, unit, word)
}

func (r *report) duration(what string, took, target time.Duration) {
	r.add(what, "%.2f s", took.Seconds())
	r.judge(took.Seconds(), target.Seconds(), "s")
}

// latency adds sorted times; a target is the slowest hundredth's.
func (r *report) latency(what string, sorted []time.Duration, target time.Duration) {
	r.add(what, "%s ms, 99 %%: %s ms, slowest: %s ms", ms(quantile(sorted, 0.5)), ms(quantile(sorted, 0.99)), ms(sorted[len(sorted)-1]))
	if target > 0 {
		r.judge(float64(quantile(sorted, 0.99))/1e6, float64(target)/1e6, "ms")
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }

// quantile is the value that a share of sorted ones does not exceed.
func quantile(sorted []time.Duration, share float64) time.Duration {
	at := int(float64(len(sorted))*share+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func (r *report) memory(what string, mib float64) {
	r.add(what, "%.0f MiB", mib)
	r.judge(mib, memoryTarget, "MiB")
}

// print writes a table that Markdown shows as one.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", r.size)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| What\t| Measured\t| Target\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|")
	for _, row := range r.rows {
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t|\n", row.what, row.value, row.target)
	}
	t.Flush()
}
