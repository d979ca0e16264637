package matrix

import (
	"fmt"
	"io"
	"slices"

	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Explain adds to each row what decided it. The model and the connections are
// those that the matrix was made from.
func (m *Matrix) Explain(model *verdict.Evaluator, connections []verdict.Connection) {
	byQuestion := map[Row]*Row{}
	for i := range m.Rows {
		r := &m.Rows[i]
		byQuestion[Row{From: r.From, To: r.To, Protocol: r.Protocol, Port: r.Port, Family: r.Family}] = r
	}
	for _, c := range connections {
		asked := Row{From: c.From.String(), To: c.To.String(), Protocol: c.Protocol, Port: c.Port}
		r := byQuestion[asked]
		if r == nil {
			asked.Family = family(c)
			r = byQuestion[asked]
		}
		if r != nil && r.Egress == nil {
			result := model.Evaluate(c)
			r.Egress, r.Ingress = &result.Egress, &result.Ingress
		}
	}
}

func (m *Matrix) explained() bool {
	return slices.ContainsFunc(m.Rows, func(r Row) bool { return r.Egress != nil })
}

// why is the decision that counts: of a denial the one that denies, else the one
// at the destination, unless only the source has policies.
func (r *Row) why() string {
	egress := r.Egress.Verdict == traffic.Deny || len(r.Ingress.Steps) == 0 && len(r.Egress.Steps) > 0
	if r.Verdict == traffic.Deny && r.Egress.Verdict == traffic.Allow {
		egress = false
	}
	if egress {
		return "egress: " + r.Egress.Reason
	}
	return "ingress: " + r.Ingress.Reason
}

// writeReasons writes a line for each connection, with what decided it.
func (m *Matrix) writeReasons(p *printer.Printer) error {
	var rows [][]printer.Cell
	for i := range m.Rows {
		r := &m.Rows[i]
		rows = append(rows, []printer.Cell{
			{Text: r.Verdict.String(), Style: styles[r.answer()]},
			{Text: r.From + " -> " + r.To}, {Text: r.port()}, {Text: r.why()},
		})
	}
	if err := p.Columns(rows); err != nil {
		return err
	}
	_, err := io.WriteString(p.Out, "\n")
	return err
}

// Change is a connection that would get another verdict if what is staged were
// enforced.
type Change struct {
	From     string           `json:"from"`
	To       string           `json:"to"`
	Protocol traffic.Protocol `json:"protocol"`
	Port     uint16           `json:"port"`
	Verdict  traffic.Verdict  `json:"verdict"`
	Staged   traffic.Verdict  `json:"staged"`
	Reason   string           `json:"reason"` // of the latter
}

// Preview adds what would change with another set of policies: the one in which
// what is staged is enforced.
func (m *Matrix) Preview(now, staged *verdict.Evaluator, connections []verdict.Connection) {
	m.Staged = []Change{}
	for _, c := range connections {
		is, would := now.Verdict(c), staged.Verdict(c)
		if is == would {
			continue
		}
		row := Row{From: c.From.String(), To: c.To.String(), Protocol: c.Protocol, Port: c.Port, Verdict: would}
		result := staged.Evaluate(c)
		row.Egress, row.Ingress = &result.Egress, &result.Ingress
		change := Change{From: row.From, To: row.To, Protocol: c.Protocol, Port: c.Port, Verdict: is, Staged: would, Reason: row.why()}
		if n := len(m.Staged); n == 0 || m.Staged[n-1] != change { // the other family, most often
			m.Staged = append(m.Staged, change)
		}
	}
}

func (m *Matrix) writeStaged(p *printer.Printer) error {
	if m.Staged == nil {
		return nil
	}
	text := "what is staged would change no connection here"
	if n := len(m.Staged); n > 0 {
		text = fmt.Sprintf("what is staged would change %d of them if it were enforced:", n)
	}
	if _, err := fmt.Fprintln(p.Out, text); err != nil || len(m.Staged) == 0 {
		return err
	}
	var rows [][]printer.Cell
	for _, c := range m.Staged {
		style := styles[denied]
		if c.Staged.Opens() {
			style = styles[allowed]
		}
		rows = append(rows, []printer.Cell{
			{Text: c.Staged.String(), Style: style}, {Text: c.From + " -> " + c.To},
			{Text: fmt.Sprintf("%s %d", c.Protocol, c.Port)}, {Text: c.Reason},
		})
	}
	return p.Columns(rows)
}
