package main

import (
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	var sorted []time.Duration
	for n := range 100 {
		sorted = append(sorted, time.Duration(n+1))
	}
	for _, row := range []struct {
		times []time.Duration
		share float64
		want  time.Duration
	}{
		{sorted, 0.5, 50}, {sorted, 0.99, 99}, {sorted, 1, 100}, {sorted, 0, 1},
		{sorted[:1], 0.99, 1}, {sorted[:2], 0.5, 1}, {sorted[:3], 0.5, 2},
	} {
		if got := quantile(row.times, row.share); got != row.want {
			t.Errorf("quantile of %d at %g is %d, want %d", len(row.times), row.share, got, row.want)
		}
	}
}

func TestReport(t *testing.T) {
	var r report
	r.size = sizeOf(1_000, 50)
	r.duration("start", 9*time.Second, startTarget)
	r.memory("memory", 301)
	r.latency("pod", []time.Duration{1e6, 2e6, 25e6}, podTarget)
	r.latency("other", []time.Duration{1e6}, 0)
	r.reaction("denial", []time.Duration{0, 500_000, 20e6})
	var got strings.Builder
	r.print(&got)
	for _, want := range []string{
		"1000 pods, 50 namespaces, 100 policies, 50 pods of the node\n",
		"9.00 s", "below 10 s: met", "301 MiB", "below 300 MiB: missed",
		"2.0 ms, 99 %: 25.0 ms, slowest: 25.0 ms", "below 20 ms: missed",
		"denial, slowest of 3", "below 1 ms: met", "below 10 ms: missed",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, got.String())
		}
	}
}

func TestUsage(t *testing.T) {
	const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 500 0 0 0 150 50 0 0 20 0 8 0 100 1000 10 18446744073709551615"
	if got := cpuOf(stat); got != 2*time.Second {
		t.Errorf("CPU time is %s", got)
	}
	for _, row := range []struct {
		text, name string
		want       float64
	}{
		{"VmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n", "VmRSS:", 1024},
		{"  lo: 5 1\n eth0: 1234 7 0\n", "eth0:", 1234},
		{"nothing", "eth0:", 0},
	} {
		if got := numberAfter(row.text, row.name); got != row.want {
			t.Errorf("%q: %g, want %g", row.name, got, row.want)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-pods", "x"}, {"-pods", "10"}, {"-local", "0"}, {"-agent", "/nowhere"}, {"-nonsense"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	o, err := parse([]string{"-agent", "/proc/self/exe", "-pods", "1000,100000"})
	if err != nil || len(o.sizes) != 2 || o.sizes[1] != (size{100_000, 5_000, 10_000, 250}) {
		t.Errorf("%+v, %v", o, err)
	}
}
