package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

// A Runner runs suites.
type Runner struct {
	// Dir gets a folder with logs and results for every run.
	Dir string
	// Procs is how many processes a suite runs that can run several.
	Procs int
	// Part is what to run of suites that can be run in parts.
	Part Part
	// Progress is told what is going on; nil is silence.
	Progress io.Writer
}

// Run runs one suite on one fresh cluster. A spec that fails is not an error.
func (r *Runner) Run(ctx context.Context, suite Suite, setup Setup) (run *Run, err error) {
	run = &Run{Suite: suite.Name, Setup: setup}
	if suite.Parts {
		run.Part = r.Part
	}
	dir, err := r.folder(run)
	if err != nil {
		return nil, err
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
	at := place{programs: programs, kubeconfig: c.Kubeconfig, dir: dir, procs: r.Procs, engine: !setup.Engine.None(), part: run.Part}
	if suite.prepare != nil {
		if err := suite.prepare(ctx, at); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", run.title(), err)
		}
	}
	command := suite.command(at)
	run.Command = at.readable(command)
	began := time.Now()
	failed := r.execute(ctx, suite, command, filepath.Join(dir, outputName))
	run.Took = time.Since(began)
	if run.Specs, err = suite.specs(filepath.Join(dir, suite.result)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s has left no result: %w", run.title(), err), failed)
	}
	if err := deaths(ctx, c); err != nil {
		return nil, fmt.Errorf("%s: %w", run.title(), err)
	}
	r.say("%s: %d of %d passed in %s\n", run.title(), len(run.Specs)-len(run.Failed()), len(run.Specs), run.Took.Round(time.Second))
	return run, run.save(filepath.Join(dir, runName))
}

// outputName is the file with all that a suite has written, in its folder.
const outputName = "output.log"

func (s *Suite) specs(path string) ([]Spec, error) {
	if s.read != nil {
		return s.read(path)
	}
	return readJUnit(path, s.keep)
}

// folder makes an empty folder for a run.
func (r *Runner) folder(run *Run) (string, error) {
	dir := filepath.Join(r.Dir, slug(run.title()+" part "+run.Part.String()))
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clear result folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make result folder: %w", err)
	}
	return dir, nil
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

// patience is how long a suite may take that hangs.
const patience = 4 * time.Hour

// execute runs a suite's program with its output in a file.
func (r *Runner) execute(ctx context.Context, suite Suite, command []string, log string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	output, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("make log: %w", err)
	}
	defer output.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	show := &progress{prefix: suite.progress, to: r.Progress, file: output}
	cmd.Stdout, cmd.Stderr = show, show
	// Ended as one with what it has started, such as ginkgo's processes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w: see %s", filepath.Base(command[0]), err, log)
	}
	return nil
}

// progress writes everything to a file, and shows the lines that begin with a
// prefix.
type progress struct {
	prefix string // "" shows nothing
	to     io.Writer
	file   io.Writer
	begun  []byte // of a line
}

func (p *progress) Write(b []byte) (int, error) {
	text := append(p.begun, b...)
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			break
		}
		if p.prefix != "" && p.to != nil && bytes.HasPrefix(line, []byte(p.prefix)) {
			fmt.Fprintf(p.to, "%s\n", line)
		}
		text = rest
	}
	p.begun = bytes.Clone(text)
	return p.file.Write(b)
}
