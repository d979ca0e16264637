package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/printer"
)

// arrange puts columns in the order of the sources, so that a pod's place is the
// same on both sides and the pod itself is on the diagonal; what is no source
// comes last. Columns of one destination keep their order.
func (g *grid) arrange() {
	rank := make(map[string]int, len(g.sources))
	for i, source := range g.sources {
		rank[source] = i + 1
	}
	first := make(map[string]int, len(g.columns))
	for i, c := range g.columns {
		if _, ok := first[c.to]; !ok {
			first[c.to] = len(g.sources) + 1 + i
		}
		if r, ok := rank[c.to]; ok {
			first[c.to] = r
		}
	}
	slices.SortStableFunc(g.columns, func(a, b column) int {
		return cmp.Or(cmp.Compare(first[a.to], first[b.to]), strings.Compare(a.to, b.to))
	})
}

// width is how wide the grid is printed: the names of the sources, two for each
// column, and what of the columns' headings stands out at the right.
func (g *grid) width() int {
	width := 0
	for i, c := range g.columns {
		width = max(width, 2*i+printer.Width(c.String()))
	}
	return g.sourceWidth() + 2 + width
}

func (g *grid) sourceWidth() int {
	width := 0
	for _, s := range g.sources {
		width = max(width, printer.Width(s))
	}
	return width
}

// writeGrid writes headings as a staircase, each above its column, so that a
// column is only as wide as its mark.
func (g *grid) writeGrid(p *printer.Printer) error {
	var b strings.Builder
	margin := g.sourceWidth() + 2
	for i, c := range g.columns {
		b.WriteString(strings.Repeat(" ", margin) + p.Paint(printer.Dim, strings.Repeat("│ ", i)))
		fmt.Fprintf(&b, "%s\n", c)
	}
	for i, source := range g.sources {
		b.WriteString(source + strings.Repeat(" ", margin-printer.Width(source)))
		fmt.Fprintf(&b, "%s\n", g.line(p, i))
	}
	b.WriteString(g.legend(p))
	_, err := fmt.Fprint(p.Out, b.String())
	return err
}

func (g *grid) line(p *printer.Printer, source int) string {
	line := make([]string, len(g.columns))
	for i, c := range g.columns {
		a := g.answers[c][source]
		line[i] = p.Paint(styles[a], marks[a])
	}
	return strings.Join(line, " ")
}

// legend explains the marks that the grid has.
func (g *grid) legend(p *printer.Printer) string {
	used := map[answer]bool{}
	for _, column := range g.answers {
		for _, a := range column {
			used[a] = true
		}
	}
	var parts []string
	for _, a := range []answer{allowed, inspected, denied, disagreed, notAsked} {
		if used[a] {
			parts = append(parts, p.Paint(styles[a], marks[a])+" "+words[a])
		}
	}
	return "\n" + strings.Join(parts, "   ") + "\n\n"
}
