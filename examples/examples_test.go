// Package examples runs the examples: expect.txt of each folder must be what the
// model says, and what packets in the lab find.
package examples

import (
	"path/filepath"
	"testing"

	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

func TestModelMeetsExpectations(t *testing.T) {
	for _, dir := range scenarios(t) {
		t.Run(dir, func(t *testing.T) {
			bundle, err := manifest.Load([]string{dir}, manifest.Options{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			connections := matrix.Connections(bundle.Snapshot, bundle.Policies)
			m := matrix.New(verdict.New(bundle.Snapshot, bundle.Policies), connections, nil)
			expect := readExpectations(t, filepath.Join(dir, "expect.txt"))
			for _, row := range m.Rows {
				expect.check(t, row, row.Verdict)
			}
			expect.checkUsed(t)
		})
	}
}

// scenarios are the folders with an expect.txt.
func scenarios(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"*/expect.txt", "recipes/*/expect.txt"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	if len(dirs) < 34 {
		t.Fatalf("%d scenarios found, 34 were written", len(dirs))
	}
	return dirs
}

func (e *expectations) check(t *testing.T, row matrix.Row, have traffic.Verdict) {
	t.Helper()
	want, line, ok := e.of(row)
	switch {
	case !ok:
		t.Errorf("no line of %s fits %s -> %s %s %d (%s)", e.file, row.From, row.To, row.Protocol, row.Port, have)
	case want != have && !(row.Measured != nil && want.Opens() && have.Opens()): // packets show no content
		t.Errorf("%s -> %s %s %d %s: %s, but %s:%d expects %s", row.From, row.To, row.Protocol, row.Port, row.Family, have, e.file, line, want)
	}
}

// checkClosed is for a network on which the example cannot work: what must be
// denied has to be, and no more is asked.
func (e *expectations) checkClosed(t *testing.T, row matrix.Row, have traffic.Verdict) {
	t.Helper()
	if want, line, ok := e.of(row); ok && !want.Opens() && have.Opens() {
		t.Errorf("%s -> %s %s %d %s: %s, but %s:%d expects %s", row.From, row.To, row.Protocol, row.Port, row.Family, have, e.file, line, want)
	}
}
