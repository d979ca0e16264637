package main

import (
	"encoding/xml"
	"fmt"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/connectivity"
	"github.com/mattfenwick/cyclonus/pkg/connectivity/probe"
	corev1 "k8s.io/api/core/v1"
)

// An outcome is how a case went. A wrong table may be made again, since a
// connection can be lost on a machine that is too busy; but what was let through
// in any table that had to be stopped stays let through.
type outcome struct {
	name   string
	passed bool                    // the last tables are right
	leaks  int                     // connections let through in any table that were to be stopped
	lost   map[corev1.Protocol]int // connections lost in any table
	tries  int                     // tables it took, at most, for a step
}

func outcomeOf(result *connectivity.Result) outcome {
	o := outcome{name: result.TestCase.Description, passed: result.Passed(true), lost: map[corev1.Protocol]int{}}
	for _, step := range result.Steps {
		o.tries = max(o.tries, len(step.KubeProbes))
		for _, table := range step.KubeProbes {
			o.compare(table, step.SimulatedProbe)
		}
	}
	return o
}

// compare counts what differs between a table and the expectation. Pods to
// themselves do not count.
func (o *outcome) compare(table, expected *probe.Table) {
	for _, key := range table.Wrapped.Keys() {
		if key.From == key.To {
			continue
		}
		want := expected.Get(key.From, key.To).JobResults
		for port, got := range table.Get(key.From, key.To).JobResults {
			switch {
			case got.Combined == want[port].Combined:
			case want[port].Combined == probe.ConnectivityBlocked:
				o.leaks++
			default:
				o.lost[got.Job.Protocol]++
			}
		}
	}
}

func (o outcome) ok() bool { return o.passed && o.leaks == 0 }

func (o outcome) String() string {
	text := "failed"
	if o.ok() {
		text = "passed"
	}
	if o.leaks > 0 {
		text += fmt.Sprintf(" (%d let through)", o.leaks)
	}
	if len(o.lost) > 0 {
		text += fmt.Sprintf(" (%v lost in %d tries)", o.lost, o.tries)
	}
	return text + ": " + o.name
}

func writeJUnit(path string, outcomes []outcome) error {
	var results []*connectivity.JUnitTestResult
	for _, o := range outcomes {
		results = append(results, &connectivity.JUnitTestResult{Name: o.name, Passed: o.ok()})
	}
	content, err := xml.MarshalIndent(connectivity.ResultsToJUnit(results), "", "  ")
	if err != nil {
		return fmt.Errorf("write outcome: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write outcome: %w", err)
	}
	return nil
}
