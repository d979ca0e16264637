package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, row := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 2, 3}, 0.5, 2.5},
		{[]float64{0, 10}, 0.25, 2.5},
		{[]float64{5, 1, 9}, 0, 1},
		{[]float64{5, 1, 9}, 1, 9},
	} {
		if got := quantile(row.values, row.q); got != row.want {
			t.Errorf("quantile %v of %v: %v, want %v", row.q, row.values, got, row.want)
		}
	}
}

func TestQuantileLeavesTheOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	quantile(values, 0.5)
	if !slices.Equal(values, []float64{3, 1, 2}) {
		t.Errorf("rounds are now %v", values)
	}
}

func TestRatioIsOfTheSameRound(t *testing.T) {
	r := measured(map[string]map[string][]float64{
		connectionsName:    {plainName: {100, 10, 1000}, "bulkhead-10": {90, 9, 900}},
		"request-response": {plainName: {10, 10, 10}, "bulkhead-10": {20, 20, 20}},
	})
	for work, want := range map[string]float64{connectionsName: 0.9, "request-response": 0.5} {
		if got := r.find(work, "bulkhead-10").Ratio; got != want {
			t.Errorf("%s: ratio %v, want %v", work, got, want)
		}
	}
}

func TestOrderOfVariants(t *testing.T) {
	want := []string{noneName, plainName, "bulkhead-10", "bulkhead-1000", "bulkhead-10000",
		"bulkhead-10-selected", "bulkhead-10000-selected", "iptables-10", "iptables-10000"}
	r := newReport(options{})
	for _, name := range slices.Backward(want) {
		r.note(name, connectionsName, 1)
	}
	if got := r.variants(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestPrint(t *testing.T) {
	r := measured(map[string]map[string][]float64{connectionsName: {plainName: {1000, 2000, 3000}, "bulkhead-10": {900, 1900, 2700}}})
	var out bytes.Buffer
	r.print(&out)
	for _, line := range []string{
		"  conntrack    2000  100.0 %  (100.0 to 100.0)\n",
		"  bulkhead-10  1900  90.0 %   (90.0 to 92.5)\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in\n%s", line, out.String())
		}
	}
}
