package peers

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A Result is what was measured of one engine; what was not is empty.
type Result struct {
	Engine     Engine          `json:"engine"`
	PodsTook   time.Duration   `json:"podsTook"`   // nanoseconds, until all other pods ran
	Throughput []Rate          `json:"throughput"` // in the order of Config.On
	Grown      []Grown         `json:"grown"`      // in the order of Config.On
	Deny       []time.Duration `json:"deny"`       // nanoseconds, like all of these
	Allow      []time.Duration `json:"allow"`
	Newcomer   []time.Duration `json:"newcomer"`
	Live       []time.Duration `json:"live"`
	LiveGoesOn bool            `json:"liveGoesOn"` // beyond the time it was watched
	Open       []time.Duration `json:"open"`       // a new pod that should not be
	Restart    *Restart        `json:"restart"`
	Memory     int64           `json:"memory"` // bytes
	CPU        time.Duration   `json:"cpu"`    // nanoseconds
}

// A Rate is connections per second to a pod that a number of policies select, in
// each round.
type Rate struct {
	Policies int       `json:"policies"`
	Each     []float64 `json:"each"`
}

// Grown is how long after the last of a number of policies was made it worked.
type Grown struct {
	Policies int           `json:"policies"`
	Took     time.Duration `json:"took"` // nanoseconds
}

// A Restart counts an allowed client's tries, those of them that were lost, and a
// denied client's that got through.
type Restart struct {
	Tries  int `json:"tries"`
	Lost   int `json:"lost"`
	Leaked int `json:"leaked"`
}

// Write writes the results as Markdown.
func Write(w io.Writer, results []*Result) error {
	var b strings.Builder
	writeThroughput(&b, results)
	writeGrown(&b, results)
	writeTimes(&b, results)
	writeUsage(&b, results)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeThroughput(b *strings.Builder, results []*Result) {
	none := slices.IndexFunc(results, func(r *Result) bool { return r.Engine.None() })
	if none < 0 || len(results[none].Throughput) == 0 {
		return
	}
	base := results[none].Throughput
	fmt.Fprintf(b, "Connections per second to a pod that N policies select, share of no engine (median of rounds, and quartiles):\n\n| |")
	for _, r := range base {
		fmt.Fprintf(b, " N=%d |", r.Policies)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(base)))
	for _, result := range results {
		if result.Engine.None() {
			fmt.Fprintf(b, "| %s, per second |", result.Engine.Name)
			for _, r := range base {
				fmt.Fprintf(b, " %.0f |", quantile(r.Each, 0.5))
			}
		} else {
			fmt.Fprintf(b, "| %s %s |", result.Engine.Name, result.Engine.Version)
			for i, r := range result.Throughput {
				if len(r.Each) == 0 || i >= len(base) {
					continue
				}
				shares := ratios(r.Each, base[i].Each)
				fmt.Fprintf(b, " %.2f (%.2f–%.2f) |", quantile(shares, 0.5), quantile(shares, 0.25), quantile(shares, 0.75))
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func writeGrown(b *strings.Builder, results []*Result) {
	if len(results) == 0 || len(results[0].Grown) == 0 {
		return
	}
	fmt.Fprintf(b, "Milliseconds until all N policies, made in one go, work:\n\n| |")
	for _, g := range results[0].Grown {
		fmt.Fprintf(b, " N=%d |", g.Policies)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(results[0].Grown)))
	for _, r := range results {
		if r.Engine.None() {
			continue
		}
		fmt.Fprintf(b, "| %s |", r.Engine.Name)
		for _, g := range r.Grown {
			fmt.Fprintf(b, " %s |", milliseconds(g.Took))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// ratios are those of the same round.
func ratios(of, to []float64) []float64 {
	var all []float64
	for i := range min(len(of), len(to)) {
		all = append(all, of[i]/to[i])
	}
	return all
}

// columns are the times of the second table.
var columns = []struct {
	title string
	of    func(*Result) string
}{
	{"deny works", func(r *Result) string { return medianMax(r.Deny) }},
	{"allow works again", func(r *Result) string { return medianMax(r.Allow) }},
	{"new client let in", func(r *Result) string { return medianMax(r.Newcomer) }},
	{"open connection ends", func(r *Result) string {
		if r.LiveGoesOn {
			return "goes on"
		}
		return medianMax(r.Live)
	}},
	{"new denied pod reachable", func(r *Result) string { return medianMax(r.Open) }},
	{"restart: lost / let through", func(r *Result) string {
		if r.Restart == nil {
			return ""
		}
		return fmt.Sprintf("%d / %d of %d", r.Restart.Lost, r.Restart.Leaked, r.Restart.Tries)
	}},
}

func writeTimes(b *strings.Builder, results []*Result) {
	b.WriteString("Milliseconds from the API call's return, median / maximum:\n\n| |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(columns)))
	for _, r := range results {
		fmt.Fprintf(b, "| %s |", r.Engine.Name)
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", c.of(r))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

func writeUsage(b *strings.Builder, results []*Result) {
	b.WriteString("One node's agent after the other pods and policies, and how long these pods took to run:\n\n| | resident MiB | CPU s | pods running after s |\n|---|---|---|---|\n")
	for _, r := range results {
		if r.Engine.None() {
			fmt.Fprintf(b, "| %s | | | %.1f |\n", r.Engine.Name, r.PodsTook.Seconds())
			continue
		}
		fmt.Fprintf(b, "| %s | %d | %.1f | %.1f |\n", r.Engine.Name, r.Memory>>20, r.CPU.Seconds(), r.PodsTook.Seconds())
	}
}

// medianMax is both in milliseconds; a probe every millisecond sees no less.
func medianMax(all []time.Duration) string {
	if len(all) == 0 {
		return ""
	}
	return milliseconds(quantile(all, 0.5)) + " / " + milliseconds(slices.Max(all))
}

func milliseconds(d time.Duration) string {
	if d < time.Millisecond {
		return "< 1"
	}
	return fmt.Sprintf("%.0f", d.Seconds()*1000)
}

// quantile is the value below which a share of all lies, without interpolation.
func quantile[T cmp.Ordered](all []T, share float64) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(share*float64(len(sorted)-1)+0.5)]
}
