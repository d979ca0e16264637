package conformance

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A junitCase is a test case in a result file.
type junitCase struct {
	Name    string    `xml:"name,attr"`
	Status  string    `xml:"status,attr"`
	Failure *struct{} `xml:"failure"`
	Error   *struct{} `xml:"error"`
}

// junit matches both forms: a list of suites, and a single one.
type junit struct {
	Cases  []junitCase `xml:"testcase"`
	Suites []junit     `xml:"testsuite"`
}

// readJUnit reads a result file, sorted by name. Specs of the same name are told
// apart by a number.
func readJUnit(path string, keep func(junitCase) bool) ([]Spec, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var root junit
	if err := xml.Unmarshal(content, &root); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var specs []Spec
	seen := map[string]int{}
	for _, c := range root.all() {
		if !keep(c) {
			continue
		}
		name := strings.TrimPrefix(c.Name, "[It] ")
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		specs = append(specs, Spec{Name: name, Passed: c.Failure == nil && c.Error == nil})
	}
	slices.SortFunc(specs, func(a, b Spec) int { return cmp.Compare(a.Name, b.Name) })
	return specs, nil
}

func (j *junit) all() []junitCase {
	cases := j.Cases
	for i := range j.Suites {
		cases = append(cases, j.Suites[i].all()...)
	}
	return cases
}
