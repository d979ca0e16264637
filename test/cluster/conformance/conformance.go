// Package conformance runs the upstream suites for network policies against a
// policy engine in a test cluster, and writes down how they went.
//
// A Suite is one upstream program, a Run one suite on one fresh cluster, and a
// Report many runs. Each suite is also run without any engine: a suite that
// passes then would show nothing.
package conformance

import (
	"context"
	"fmt"
	"time"
)

// An Engine is a policy engine under test. The zero Engine is none.
type Engine struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Command []string `json:"command"` // as in control.Config
	Ready   string   `json:"ready"`   // as in control.Config
}

// None says that there is no engine.
func (e Engine) None() bool { return len(e.Command) == 0 }

// A Setup is the cluster of one run.
type Setup struct {
	Engine     Engine `json:"engine"`
	ProxyMode  string `json:"proxyMode"`
	PodNetwork string `json:"podNetwork"`
	Families   string `json:"families"`
}

// A Run is how one suite went on one cluster.
type Run struct {
	Suite   string        `json:"suite"`
	Setup   Setup         `json:"setup"`
	Command []string      `json:"command"` // that was run, without folders
	Took    time.Duration `json:"took"`    // nanoseconds
	Part    Part          `json:"part"`    // zero: all of the suite
	Specs   []Spec        `json:"specs"`
}

// A Part is every Of-th case of a suite, from Index on, counted from 1: several
// clusters share a long suite. The zero Part is all of it.
type Part struct {
	Index int `json:"index"`
	Of    int `json:"of"`
}

func (p Part) String() string { return fmt.Sprintf("%d/%d", max(p.Index, 1), max(p.Of, 1)) }

// A Spec is one test of a suite.
type Spec struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
}

// Failed lists the names of the specs that failed.
func (r *Run) Failed() []string {
	var names []string
	for _, s := range r.Specs {
		if !s.Passed {
			names = append(names, s.Name)
		}
	}
	return names
}

// Err says what is wrong with the run: with an engine, a spec that failed;
// without one, a suite of which most specs do not notice.
func (r *Run) Err() error {
	failed := len(r.Failed())
	switch {
	case len(r.Specs) == 0:
		return fmt.Errorf("%s ran no spec", r.title())
	case r.Setup.Engine.None() && failed*2 < len(r.Specs):
		return fmt.Errorf("%s: only %d of %d specs notice that there is no engine", r.title(), failed, len(r.Specs))
	case !r.Setup.Engine.None() && failed > 0:
		return fmt.Errorf("%s: %d of %d specs failed", r.title(), failed, len(r.Specs))
	}
	return nil
}

// title names the suite and the cluster; parts of a run have the same.
func (r *Run) title() string {
	engine := r.Setup.Engine.Name
	if r.Setup.Engine.None() {
		engine = "no engine"
	}
	return fmt.Sprintf("%s with %s, kube-proxy %s, pod network %s, %s", r.Suite, engine, r.Setup.ProxyMode, r.Setup.PodNetwork, r.Setup.Families)
}

// A Suite is an upstream test program.
type Suite struct {
	Name string
	// programs are what it runs, to be built beforehand.
	programs []string
	// command is what to run, for a cluster and a folder for its files. It may
	// end with an error when specs fail.
	command func(place) []string
	// prepare readies a fresh cluster; nil: as it is.
	prepare func(context.Context, place) error
	// result is the file with the outcome, in the folder.
	result string
	// read reads it; nil: it is JUnit's.
	read func(path string) ([]Spec, error)
	// keep says whether a test case in the result is one of the suite's.
	keep func(junitCase) bool
	// Parts says that the suite can be run in parts.
	Parts bool
	// progress is how a line of output begins that tells how far it is; "" is none.
	progress string
}

// A place is where a suite runs.
type place struct {
	programs   map[string]string // paths by name
	kubeconfig string
	dir        string // for its files
	procs      int
	engine     bool // there is one
	part       Part
}

// Suites are all there are, in the order of the report.
var Suites = []Suite{e2e, cyclonus, clusterNetworkPolicy}
