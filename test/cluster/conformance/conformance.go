// Package conformance runs the upstream suites for network policies against a
// policy engine in a test cluster, and writes down how they went.
//
// A Suite is one upstream program, a Run one suite on one fresh cluster, and a
// Report many runs. Each suite is also run without any engine: a suite that
// passes then would show nothing.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
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
	Specs   []Spec        `json:"specs"`
}

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
	command func(programs map[string]string, kubeconfig, dir string, engine bool) []string
	// result is the file with the outcome, in the folder.
	result string
	// keep says whether a test case in the result is one of the suite's.
	keep func(junitCase) bool
}

// Suites are all there are.
var Suites = []Suite{e2e, cyclonus}

// A Runner runs suites.
type Runner struct {
	// Dir gets a folder with logs and results for every run.
	Dir string
	// Progress is told what is going on; nil is silence.
	Progress io.Writer
}

// Run runs one suite on one fresh cluster. A spec that fails is not an error.
func (r *Runner) Run(ctx context.Context, suite Suite, setup Setup) (run *Run, err error) {
	run = &Run{Suite: suite.Name, Setup: setup}
	dir := filepath.Join(r.Dir, slug(run.title()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make result folder: %w", err)
	}
	programs, err := r.build(ctx, suite)
	if err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Config{Progress: r.Progress, LogDir: filepath.Join(dir, "logs"), Config: control.Config{
		ProxyMode: setup.ProxyMode, PodNetwork: setup.PodNetwork, Families: setup.Families,
		Engine: setup.Engine.Command, EngineReady: setup.Engine.Ready,
	}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	command := suite.command(programs, c.Kubeconfig, dir, !setup.Engine.None())
	run.Command = readable(command, programs, c.Kubeconfig, dir)
	began := time.Now()
	failed := r.execute(ctx, command, filepath.Join(dir, "output.log"))
	run.Took = time.Since(began)
	if run.Specs, err = readJUnit(filepath.Join(dir, suite.result), suite.keep); err != nil {
		return nil, errors.Join(fmt.Errorf("%s has left no result: %w", run.title(), err), failed)
	}
	if err := deaths(ctx, c); err != nil {
		return nil, fmt.Errorf("%s: %w", run.title(), err)
	}
	r.say("%s: %d of %d passed in %s\n", run.title(), len(run.Specs)-len(run.Failed()), len(run.Specs), run.Took.Round(time.Second))
	return run, run.save(filepath.Join(dir, "run.json"))
}

// deaths says which programs of the cluster, the engine among them, have ended by
// themselves: results that were got beside that say nothing.
func deaths(ctx context.Context, c *cluster.Cluster) error {
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	for _, p := range status.Processes {
		if p.Deaths > 0 {
			err = errors.Join(err, fmt.Errorf("%s ended by itself, at last with %s", p.Name, p.LastExit))
		}
	}
	return err
}

func (r *Runner) build(ctx context.Context, suite Suite) (map[string]string, error) {
	cache, err := binaries.DefaultCache(r.Progress)
	if err != nil {
		return nil, err
	}
	programs := map[string]string{}
	for _, name := range suite.programs {
		if programs[name], err = cache.Program(ctx, name); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

func (r *Runner) say(format string, args ...any) {
	if r.Progress != nil {
		fmt.Fprintf(r.Progress, format, args...)
	}
}

// readable is a command without the folders of this machine.
func readable(command []string, programs map[string]string, kubeconfig, dir string) []string {
	replace := []string{kubeconfig, "$KUBECONFIG", dir, "$RESULTS"}
	for name, path := range programs {
		replace = append(replace, path, name)
	}
	words := strings.NewReplacer(replace...)
	short := make([]string, len(command))
	for i, word := range command {
		short[i] = words.Replace(word)
	}
	return short
}

// slug is a title as a file name.
func slug(title string) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}
	return strings.Trim(strings.ReplaceAll(strings.Map(keep, title), "--", "-"), "-")
}

func (r *Run) save(path string) error {
	content, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	return nil
}

// Load reads the runs that are saved below a folder.
func Load(dir string) ([]*Run, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "run.json"))
	if err != nil {
		return nil, fmt.Errorf("find runs: %w", err)
	}
	var runs []*Run
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read run: %w", err)
		}
		run := &Run{}
		if err := json.Unmarshal(content, run); err != nil {
			return nil, fmt.Errorf("read run %s: %w", file, err)
		}
		runs = append(runs, run)
	}
	return runs, nil
}
