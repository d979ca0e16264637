package conformance

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
)

// A Report is what many runs amount to.
type Report struct {
	Runs []*Run
	Date time.Time
}

// Err joins what is wrong with any run.
func (r *Report) Err() []error {
	var all []error
	for _, run := range r.Runs {
		if err := run.Err(); err != nil {
			all = append(all, err)
		}
	}
	return all
}

//go:embed *.md.tmpl
var pageTexts embed.FS

// pages are the reports; the first table of each has a row for each suite on each
// kind of cluster, its second one for each spec.
var pages = template.Must(template.New("").Funcs(template.FuncMap{"join": strings.Join}).ParseFS(pageTexts, "*.md.tmpl"))

// page is the one for the suites that were run: ClusterNetworkPolicy has its own.
func (r *Report) page() *template.Template {
	if slices.ContainsFunc(r.Runs, func(run *Run) bool { return run.Suite != clusterNetworkPolicy.Name }) {
		return pages.Lookup("report.md.tmpl")
	}
	return pages.Lookup("clusternetworkpolicy.md.tmpl")
}

type row struct {
	Suite string
	Setup Setup
	Cells []string
}

type failures struct {
	Title string
	Names []string
}

// Write writes the report as Markdown.
func (r *Report) Write(w io.Writer) error {
	versions, err := r.versions()
	if err != nil {
		return err
	}
	engines := r.engines()
	var b bytes.Buffer
	err = r.page().Execute(&b, map[string]any{
		"Date": r.Date, "Engines": engines, "Rows": r.rows(engines), "Failures": r.failures(), "Specs": r.specs(engines),
		"Commands": r.commands(), "Versions": versions,
	})
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

const noEngine = "no engine"

func (r *Run) engine() string {
	if r.Setup.Engine.None() {
		return noEngine
	}
	return r.Setup.Engine.Name
}

// engines are the columns; the one without comes last.
func (r *Report) engines() []string {
	seen := map[string]bool{}
	for _, run := range r.Runs {
		seen[run.engine()] = true
	}
	names := slices.Sorted(maps.Keys(seen))
	if i := slices.Index(names, noEngine); i >= 0 {
		names = append(slices.Delete(names, i, i+1), noEngine)
	}
	return names
}

func (r *Report) rows(engines []string) []row {
	var rows []row
	for _, run := range r.Runs {
		setup := run.Setup
		setup.Engine = Engine{}
		same := func(o row) bool {
			return o.Suite == run.Suite && o.Setup.ProxyMode == setup.ProxyMode && o.Setup.PodNetwork == setup.PodNetwork && o.Setup.Families == setup.Families
		}
		i := slices.IndexFunc(rows, same)
		if i < 0 {
			i = len(rows)
			rows = append(rows, row{Suite: run.Suite, Setup: setup, Cells: make([]string, len(engines))})
		}
		passed := len(run.Specs) - len(run.Failed())
		rows[i].Cells[slices.Index(engines, run.engine())] = fmt.Sprintf("%d of %d in %s", passed, len(run.Specs), run.Took.Round(time.Second))
	}
	return rows
}

// A spec is one of a suite's specs with how often it passed, by engine.
type specRow struct {
	Name  string
	Cells []string
}

// specs lists the specs over all clusters.
func (r *Report) specs(engines []string) []specRow {
	type count struct{ passed, runs int }
	counts := map[string][]count{}
	for _, run := range r.Runs {
		if run.Suite == cyclonus.Name {
			continue // which has hundreds
		}
		for _, s := range run.Specs {
			if counts[s.Name] == nil {
				counts[s.Name] = make([]count, len(engines))
			}
			c := &counts[s.Name][slices.Index(engines, run.engine())]
			c.runs++
			if s.Passed {
				c.passed++
			}
		}
	}
	var rows []specRow
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		row := specRow{Name: shortSpec(name)}
		for _, c := range counts[name] {
			row.Cells = append(row.Cells, fmt.Sprintf("%d of %d", c.passed, c.runs))
		}
		rows = append(rows, row)
	}
	return rows
}

// labels are what Kubernetes repeats in the name of every spec.
var labels = regexp.MustCompile(`\[sig-network[^]]*\]|\[LinuxOnly\]|\[Feature:[A-Za-z]+\]|^Netpol\b`)

func shortSpec(name string) string {
	for labels.MatchString(name) {
		name = strings.Join(strings.Fields(labels.ReplaceAllString(name, "")), " ")
	}
	return name
}

// failures are those of engines: that specs fail without one is as it should be.
func (r *Report) failures() []failures {
	var all []failures
	for _, run := range r.Runs {
		if names := run.Failed(); len(names) > 0 && !run.Setup.Engine.None() {
			all = append(all, failures{Title: run.title(), Names: names})
		}
	}
	return all
}

func (r *Report) commands() [][]string {
	var all [][]string
	for _, run := range r.Runs {
		known := slices.ContainsFunc(all, func(c []string) bool { return slices.Equal(c, run.Command) })
		if !known {
			all = append(all, run.Command)
		}
	}
	return all
}

// versions lists what was run, engines with their commands.
func (r *Report) versions() ([]string, error) {
	seen := map[string]bool{}
	for _, run := range r.Runs {
		if e := run.Setup.Engine; !e.None() {
			seen[fmt.Sprintf("%s %s: `%s`", e.Name, e.Version, strings.Join(append([]string{baseName(e.Command[0])}, e.Command[1:]...), " "))] = true
		}
	}
	lines := slices.Sorted(maps.Keys(seen))
	for _, of := range []struct{ title, program string }{
		{"Kubernetes", "kube-apiserver"}, {"etcd", "etcd"}, {"CoreDNS", "coredns"},
		{"ginkgo", "ginkgo"}, {"cyclonus", "cyclonus"}, {"network-policy-api", clusterNetworkPolicy.programs[0]},
	} {
		if !r.ran(of.program) {
			continue
		}
		version, err := binaries.Version(of.program)
		if err != nil {
			return nil, err
		}
		lines = append(lines, of.title+" "+version)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("ask for kernel version: %w", err)
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(name.Release[:]), "-")
	return append(lines, "Linux "+release), nil
}

// ran tells whether a program had a part in the runs; the cluster's own always.
func (r *Report) ran(program string) bool {
	ofSuite := false
	for _, suite := range Suites {
		if !slices.Contains(suite.programs, program) {
			continue
		}
		ofSuite = true
		if slices.ContainsFunc(r.Runs, func(run *Run) bool { return run.Suite == suite.Name }) {
			return true
		}
	}
	return !ofSuite
}

func baseName(path string) string { return path[strings.LastIndex(path, "/")+1:] }
