package matrix

import (
	"fmt"
	"io"

	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// mostColumns is how many columns of a grid the eye can follow.
const mostColumns = 40

// WriteTable writes a grid of sources and destinations if it fits the printer's
// width, otherwise a list by destination. Where packets disagree with the model,
// those connections follow one by one.
func (m *Matrix) WriteTable(p *printer.Printer) error {
	if len(m.Rows) == 0 {
		_, err := fmt.Fprintln(p.Out, "no connections to ask about: the pods declare no container ports")
		return err
	}
	g := newGrid(m)
	write := g.writeList
	switch {
	case m.explained():
		write = m.writeReasons
	case len(g.columns) <= mostColumns && (p.Width == 0 || g.width() <= p.Width):
		write = g.writeGrid
	}
	if err := write(p); err != nil {
		return err
	}
	if err := m.writeDisagreements(p); err != nil {
		return err
	}
	style := printer.Bold
	if m.Tally().Disagreed > 0 {
		style = printer.Alarm
	}
	if _, err := fmt.Fprintln(p.Out, p.Paint(style, m.Tally().String())); err != nil {
		return err
	}
	return m.writeStaged(p)
}

func (m *Matrix) writeDisagreements(p *printer.Printer) error {
	var rows [][]printer.Cell
	for _, r := range m.Rows {
		if r.Agrees != nil && !*r.Agrees {
			rows = append(rows, []printer.Cell{
				{Text: "packets disagree:", Style: printer.Alarm},
				{Text: r.From + " -> " + r.To},
				{Text: r.port()},
				{Text: fmt.Sprintf("model %s, packets %s", r.Verdict, *r.Measured)},
			})
		}
	}
	if rows == nil {
		return nil
	}
	if err := p.Columns(rows); err != nil {
		return err
	}
	_, err := io.WriteString(p.Out, "\n")
	return err
}

// port is "TCP 80", with the family where that matters.
func (r Row) port() string {
	s := fmt.Sprintf("%s %d", r.Protocol, r.Port)
	if r.Family != "" {
		s += " " + r.Family
	}
	return s
}

// answer is what a row comes down to for the eye.
type answer uint8

const (
	notAsked answer = iota
	allowed
	denied
	disagreed
	inspected
)

func (r Row) answer() answer {
	switch {
	case r.Agrees != nil && !*r.Agrees:
		return disagreed
	case r.Verdict == traffic.Allow:
		return allowed
	case r.Verdict.Inspects():
		return inspected
	}
	return denied
}

// Each answer has a mark, a style and a word.
var (
	marks  = map[answer]string{notAsked: "·", allowed: "✓", denied: "✗", disagreed: "!", inspected: "◐"}
	styles = map[answer]printer.Style{notAsked: printer.Dim, allowed: printer.Green, denied: printer.Red, disagreed: printer.Alarm, inspected: printer.Yellow}
	words  = map[answer]string{notAsked: "not asked", allowed: "allowed", denied: "denied", disagreed: "packets disagree", inspected: "depends on the content"}
)

// column is a destination of a grid.
type column struct {
	to, port string
}

func (c column) String() string { return c.to + " " + c.port }

// grid is a matrix by destination and source.
type grid struct {
	sources []string
	columns []column
	answers map[column][]answer // by the number of the source
}

func newGrid(m *Matrix) *grid {
	g := &grid{answers: map[column][]answer{}}
	number := map[string]int{}
	for _, r := range m.Rows {
		if _, ok := number[r.From]; !ok {
			number[r.From] = len(g.sources)
			g.sources = append(g.sources, r.From)
		}
	}
	for _, r := range m.Rows {
		c := column{r.To, r.port()}
		if g.answers[c] == nil {
			g.answers[c] = make([]answer, len(g.sources))
			g.columns = append(g.columns, c)
		}
		g.answers[c][number[r.From]] = r.answer()
	}
	g.arrange()
	return g
}
