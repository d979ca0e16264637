package main

import (
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/connectivity"
	"github.com/mattfenwick/cyclonus/pkg/connectivity/probe"
	"github.com/mattfenwick/cyclonus/pkg/generator"
)

// everything is pods that exist nowhere.
func everything() *probe.Resources {
	r := &probe.Resources{Namespaces: map[string]map[string]string{}}
	for _, ns := range namespaces {
		for _, pod := range pods {
			p := probe.NewDefaultPod(ns, pod, ports, protocols, false, registry)
			p.IP = "10.0.0.1"
			r.Pods = append(r.Pods, p)
		}
		r.Namespaces[ns] = map[string]string{"ns": ns}
	}
	return r
}

func TestPartsAreEveryCaseOnce(t *testing.T) {
	all := generator.NewTestCaseGenerator(true, "10.0.0.1", namespaces, nil, nil).GenerateTestCases()
	seen := map[string]bool{}
	for part := 1; part <= 3; part++ {
		o := options{part: part, parts: 3}
		cases, err := o.cases(everything())
		if err != nil {
			t.Fatal(err)
		}
		if len(cases) < len(all)/3 {
			t.Errorf("part %d has %d cases of %d", part, len(cases), len(all))
		}
		for _, c := range cases {
			if seen[c.Description] {
				t.Errorf("two cases are called %q", c.Description)
			}
			seen[c.Description] = true
		}
	}
	if len(seen) != len(all) || len(all) < 200 {
		t.Errorf("the parts have %d cases of %d", len(seen), len(all))
	}
}

func TestALeakIsNotForgiven(t *testing.T) {
	const allowed, blocked = probe.ConnectivityAllowed, probe.ConnectivityBlocked
	table := func(to string, answer probe.Connectivity) *probe.Table {
		job := &probe.Job{FromKey: "x/a", ToKey: to, Protocol: "TCP", ResolvedPort: 80}
		return probe.NewTableFromJobResults(everything(), []*probe.JobResult{{Job: job, Combined: answer}})
	}
	for _, c := range []struct {
		name, to string
		expected probe.Connectivity
		tables   []probe.Connectivity
		want     string
	}{
		{"right", "x/b", blocked, []probe.Connectivity{blocked}, "passed: case"},
		{"lost at first", "x/b", allowed, []probe.Connectivity{blocked, allowed}, "passed (map[TCP:1] lost in 2 tries): case"},
		{"let through at first", "x/b", blocked, []probe.Connectivity{allowed, blocked}, "failed (1 let through): case"},
		{"lost", "x/b", allowed, []probe.Connectivity{blocked}, "failed (map[TCP:1] lost in 1 tries): case"},
		{"itself", "x/a", blocked, []probe.Connectivity{allowed}, "passed: case"},
	} {
		step := connectivity.NewStepResult(table(c.to, c.expected), nil, nil)
		for _, answer := range c.tables {
			step.AddKubeProbe(table(c.to, answer))
		}
		got := outcomeOf(&connectivity.Result{TestCase: &generator.TestCase{Description: "case"}, Steps: []*connectivity.StepResult{step}})
		if got.String() != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
}
