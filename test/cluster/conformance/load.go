package conformance

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// runName is the file with a run, in its folder.
const runName = "run.json"

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

// ErrIncomplete is within the error of Load for a run of which parts are missing.
var ErrIncomplete = errors.New("parts are missing")

// Load reads the runs that are saved below a folder, in the order of the report.
// The parts of one run become one.
func Load(dir string) ([]*Run, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", runName))
	if err != nil {
		return nil, fmt.Errorf("find runs: %w", err)
	}
	parts := map[string][]*Run{} // by title
	for _, file := range files {
		run, err := read(file)
		if err != nil {
			return nil, err
		}
		parts[run.title()] = append(parts[run.title()], run)
	}
	var runs []*Run
	for _, same := range parts {
		run, err := join(same)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b *Run) int { return slices.Compare(a.order(), b.order()) })
	return runs, nil
}

func read(file string) (*Run, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	run := &Run{}
	if err := json.Unmarshal(content, run); err != nil {
		return nil, fmt.Errorf("read run %s: %w", file, err)
	}
	return run, nil
}

// join makes one run of its parts. A part that is missing shows as an error, not
// as a shorter suite.
func join(parts []*Run) (*Run, error) {
	slices.SortFunc(parts, func(a, b *Run) int { return cmp.Compare(a.Part.Index, b.Part.Index) })
	whole := *parts[0]
	if len(parts) != max(whole.Part.Of, 1) {
		return nil, fmt.Errorf("join parts of %s: %w: there are %d of %d", whole.title(), ErrIncomplete, len(parts), max(whole.Part.Of, 1))
	}
	whole.Part = Part{}
	whole.Specs, whole.Took = nil, 0
	for i, p := range parts {
		if len(parts) > 1 && p.Part != (Part{Index: i + 1, Of: len(parts)}) {
			return nil, fmt.Errorf("join parts of %s: part %s is there in place of %d/%d", whole.title(), p.Part, i+1, len(parts))
		}
		whole.Specs = append(whole.Specs, p.Specs...)
		whole.Took = max(whole.Took, p.Took) // side by side
	}
	slices.SortFunc(whole.Specs, func(a, b Spec) int { return cmp.Compare(a.Name, b.Name) })
	whole.Command = withoutPart(whole.Command)
	return &whole, nil
}

// withoutPart is a command that runs all of a suite.
func withoutPart(command []string) []string {
	return slices.DeleteFunc(slices.Clone(command), func(word string) bool {
		word = strings.Trim(word, "'")
		return strings.HasPrefix(word, "--part=") || strings.HasPrefix(word, "-test.run=") || strings.HasPrefix(word, "-test.skip=")
	})
}

// order is what runs are sorted by: suite, then the plainest cluster first.
func (r *Run) order() []string {
	suite := slices.IndexFunc(Suites, func(s Suite) bool { return s.Name == r.Suite })
	pods := map[string]string{"routed": "0"}[r.Setup.PodNetwork]
	proxy := map[string]string{"nftables": "0"}[r.Setup.ProxyMode]
	return []string{fmt.Sprint(suite), cmp.Or(pods, r.Setup.PodNetwork), r.Setup.Families, cmp.Or(proxy, r.Setup.ProxyMode), r.engine()}
}
