// Package doctor looks at a node and says whether Bulkhead can enforce on it,
// whether something else does already, and what should be changed.
//
// It changes nothing on the node. Functions may be called by several goroutines.
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/printer"
)

// Grade says how much a finding matters. Its zero value is Unknown.
type Grade uint8

// The grades.
const (
	Unknown Grade = iota // it could not be looked at
	Fine
	Note // good to know
	Bad  // policies are not enforced, or not as people think
)

var grades = []string{Unknown: "unknown", Fine: "fine", Note: "note", Bad: "bad"}

// String is the grade in a word.
func (g Grade) String() string {
	if int(g) < len(grades) {
		return grades[g]
	}
	return fmt.Sprintf("Grade(%d)", uint8(g))
}

// MarshalText writes the grade as String does.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"`
	Grade Grade  `json:"grade"`
	Text  string `json:"text"`          // what is so
	Fix   string `json:"fix,omitempty"` // what to do about it
}

// Report is all findings, in the order in which they were made.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Healthy tells whether nothing is bad.
func (r Report) Healthy() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Grade == Bad })
}

func (r *Report) add(check string, grade Grade, text, fix string) {
	r.Findings = append(r.Findings, Finding{check, grade, text, fix})
}

var styles = map[Grade]printer.Style{
	Unknown: printer.Yellow, Fine: printer.Green, Note: printer.Yellow, Bad: printer.Alarm,
}

// WriteTable is the report as people read it.
func (r Report) WriteTable(p *printer.Printer) error {
	checks := 0
	for _, f := range r.Findings {
		checks = max(checks, printer.Width(f.Check))
	}
	const grade = len("unknown")
	indent := grade + 2 + checks + 2
	for _, f := range r.Findings {
		head := p.Paint(styles[f.Grade], f.Grade.String()) + strings.Repeat(" ", grade-len(f.Grade.String())+2)
		head += f.Check + strings.Repeat(" ", checks-printer.Width(f.Check)+2)
		body := p.Wrap(strings.Fields(f.Text), indent, indent)
		if f.Fix != "" {
			body += "\n" + strings.Repeat(" ", indent) + p.Wrap(strings.Fields("-> "+f.Fix), indent, indent+len("-> "))
		}
		if _, err := fmt.Fprintf(p.Out, "%s%s\n", head, body); err != nil {
			return err
		}
	}
	return nil
}
