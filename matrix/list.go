package matrix

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/printer"
)

// indent is where the sources begin in a list.
const indent = 19

// writeList writes each destination with the sources that reach it and those
// that do not.
func (g *grid) writeList(p *printer.Printer) error {
	var b strings.Builder
	for _, c := range g.columns {
		fmt.Fprintf(&b, "%s\n", p.Paint(printer.Bold, c.String()))
		for _, a := range []answer{allowed, denied, disagreed} {
			if names := g.from(c, a); len(names) > 0 {
				label := fmt.Sprintf("  %-*s", indent-2, words[a])
				fmt.Fprintf(&b, "%s%s\n", p.Paint(styles[a], label), p.Wrap(names, indent, indent))
			}
		}
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(p.Out, b.String())
	return err
}

// from are the sources with one answer at a destination. A namespace whose
// sources all have it is one entry: "shop/* (12)".
func (g *grid) from(c column, a answer) []string {
	asked, have := map[string]int{}, map[string]int{}
	for i, source := range g.sources {
		if got := g.answers[c][i]; got != notAsked {
			asked[group(source)]++
			if got == a {
				have[group(source)]++
			}
		}
	}
	var names []string
	written := map[string]bool{}
	for i, source := range g.sources {
		in := group(source)
		switch {
		case g.answers[c][i] != a:
		case have[in] < 2 || have[in] < asked[in]:
			names = append(names, source)
		case !written[in]:
			written[in] = true
			names = append(names, fmt.Sprintf("%s/* (%d)", in, have[in]))
		}
	}
	return names
}

// group is what sources are summed up by: a pod's namespace or all nodes; an
// address stands for itself.
func group(source string) string {
	in, _, _ := strings.Cut(source, "/")
	if in == "ip" {
		return source
	}
	return in
}
