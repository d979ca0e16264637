package printer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Style is how text stands out. Its zero value is plain.
type Style string

// The styles: SGR parameters of ECMA-48.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Alarm  Style = "1;31"
)

// Paint gives text a style where the printer shows colours.
func (p *Printer) Paint(s Style, text string) string {
	if !p.Color || s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Cell is text of one style in a column.
type Cell struct {
	Text  string
	Style Style
}

// Columns writes rows of cells so that each column lines up, two spaces apart.
// Rows may be of different length; no line ends in spaces.
func (p *Printer) Columns(rows [][]Cell) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(cell.Text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		gap := 0
		for i, cell := range row {
			if cell.Text != "" {
				b.WriteString(strings.Repeat(" ", gap) + p.Paint(cell.Style, cell.Text))
				gap = 0
			}
			gap += widths[i] - Width(cell.Text) + 2
		}
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(p.Out, b.String())
	return err
}

// Wrap breaks words into lines that end before the printer's width. All lines
// but the first are indented.
func (p *Printer) Wrap(words []string, first, indent int) string {
	var b strings.Builder
	at := first
	for i, word := range words {
		switch {
		case i == 0:
		case p.Width > 0 && at+1+Width(word) > p.Width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += Width(word)
	}
	return b.String()
}

// Width is how many columns text takes. The project writes no characters that
// are wider than one column or combine.
func Width(text string) int { return utf8.RuneCountInString(text) }
