// Package conformance runs the upstream suites for network policies against a
// policy engine in a test cluster, and writes down how they went.
//
// A Suite is one upstream program, a Run one suite on one fresh cluster, and a
// Report many runs. Each suite is also run without any engine: a suite that
// passes then would show nothing.
package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	command func(place) []string
	// result is the file with the outcome, in the folder.
	result string
	// keep says whether a test case in the result is one of the suite's.
	keep func(junitCase) bool
}

// A place is where a suite runs.
type place struct {
	programs   map[string]string // paths by name
	kubeconfig string
	dir        string // for its files
	procs      int
	engine     bool // there is one
}

// Suites are all there are, in the order of the report.
var Suites = []Suite{e2e, cyclonus}

// runName is the file with a run, in its folder.
const runName = "run.json"

// A Runner runs suites.
type Runner struct {
	// Dir gets a folder with logs and results for every run.
	Dir string
	// Procs is how many processes a suite runs that can run several.
	Procs int
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
	at := place{programs: programs, kubeconfig: c.Kubeconfig, dir: dir, procs: r.Procs, engine: !setup.Engine.None()}
	command := suite.command(at)
	run.Command = at.readable(command)
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
	return run, run.save(filepath.Join(dir, runName))
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
func (p *place) readable(command []string) []string {
	replace := []string{p.kubeconfig, "$KUBECONFIG", p.dir, "$RESULTS"}
	for name, path := range p.programs {
		replace = append(replace, path, name)
	}
	words := strings.NewReplacer(replace...)
	short := make([]string, len(command))
	for i, word := range command {
		short[i] = quote(words.Replace(word))
	}
	return short
}

// quote makes a word one that a shell reads as one.
func quote(word string) string {
	if strings.ContainsAny(word, ` \[]*?"`+"`") {
		return "'" + word + "'"
	}
	return word
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

// Load reads the runs that are saved below a folder, in the order of the report.
func Load(dir string) ([]*Run, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", runName))
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
	slices.SortFunc(runs, func(a, b *Run) int { return slices.Compare(a.order(), b.order()) })
	return runs, nil
}

// order is what runs are sorted by: suite, then the plainest cluster first.
func (r *Run) order() []string {
	suite := slices.IndexFunc(Suites, func(s Suite) bool { return s.Name == r.Suite })
	pods := map[string]string{"routed": "0"}[r.Setup.PodNetwork]
	proxy := map[string]string{"nftables": "0"}[r.Setup.ProxyMode]
	return []string{fmt.Sprint(suite), cmp.Or(pods, r.Setup.PodNetwork), r.Setup.Families, cmp.Or(proxy, r.Setup.ProxyMode), r.engine()}
}
