package peers

import (
	"strings"
	"testing"
	"time"
)

func ms(all ...float64) []time.Duration {
	var durations []time.Duration
	for _, m := range all {
		durations = append(durations, time.Duration(m*float64(time.Millisecond)))
	}
	return durations
}

func TestWrite(t *testing.T) {
	results := []*Result{
		{Engine: Engine{Name: "no engine"}, PodsTook: 2 * time.Second, Newcomer: ms(1, 2), Grown: []Grown{{10, 0}},
			Throughput: []Rate{{0, []float64{100, 200, 1000}}, {10, []float64{100, 100, 100}}}},
		{Engine: Engine{Name: "slow", Version: "v1", Command: []string{"slow"}}, PodsTook: 3 * time.Second, Grown: []Grown{{10, 2 * time.Second}},
			Throughput: []Rate{{0, []float64{90, 160, 500}}, {10, []float64{50, 50, 50}}},
			Deny:       ms(400, 800, 30), Allow: ms(0.2, 0.9), Newcomer: ms(5), LiveGoesOn: true, Live: ms(10000), Open: ms(0, 29),
			Restart: &Restart{Tries: 6000, Lost: 3, Leaked: 1}, Memory: 80 << 20, CPU: 17800 * time.Millisecond},
		{Engine: Engine{Name: "cut", Version: "v2", Command: []string{"cut"}}, Live: ms(2, 24)},
	}
	var b strings.Builder
	if err := Write(&b, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| | N=0 | N=10 |\n|---|---|---|\n",
		"| no engine, per second | 200 | 100 |\n",
		"| slow v1 | 0.80 (0.80–0.90) | 0.50 (0.50–0.50) |\n",
		"| slow | 400 / 800 | < 1 / < 1 | 5 / 5 | goes on | 29 / 29 | 3 / 1 of 6000 |\n",
		"| cut |  |  |  | 24 / 24 |  |  |\n",
		"| | N=10 |\n|---|---|\n| slow | 2000 |\n",
		"| no engine |  |  | 2 / 2 |  |  |  |\n",
		"| slow | 80 | 17.8 | 3.0 |\n",
		"| no engine | | | 2.0 |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		all   []int
		share float64
		want  int
	}{
		{[]int{7}, 0.5, 7}, {[]int{3, 1, 2}, 0.5, 2}, {[]int{4, 3, 2, 1}, 0.5, 3}, {[]int{5, 4, 3, 2, 1}, 0.25, 2}, {[]int{1, 2, 3}, 1, 3},
	} {
		if got := quantile(c.all, c.share); got != c.want {
			t.Errorf("%v: %v of it is %d, not %d", c.all, c.share, got, c.want)
		}
	}
}

func TestParseCPUTime(t *testing.T) {
	const stat = "42 (a) name) S 1 42 42 0 -1 4194560 100 200 0 0 150 30 7 3 20 0 8 0 1000 2000 300"
	got, err := parseCPUTime(stat)
	if want := 1900 * time.Millisecond; err != nil || got != want {
		t.Errorf("%s, %v, not %s", got, err, want)
	}
	if got, err := parseCPUTime("42 (name) S 1"); err == nil {
		t.Errorf("a line that is too short gives %s", got)
	}
}

func TestPassedSince(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	attempts := []attempt{
		{start: at(1), over: true, passed: true}, {start: at(2), over: true, passed: true}, {start: at(3), over: true},
		{start: at(4), over: true, passed: true}, {start: at(5)},
	}
	for _, c := range []struct {
		since, first, last int
		any                bool
	}{
		{0, 1, 4, true}, {2, 2, 4, true}, {3, 4, 4, true}, {5, 0, 0, false}, {6, 0, 0, false},
	} {
		first, last, any := passedSince(attempts, at(c.since))
		if any != c.any || any && (!first.Equal(at(c.first)) || !last.Equal(at(c.last))) {
			t.Errorf("since %d: %v, %v, %v", c.since, first, last, any)
		}
	}
}
