package main

import (
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/printer"
)

// plainWidth is how wide tables are where nobody says how wide the output is.
const plainWidth = 120

// output is the flags of commands that print data.
type output struct{ format printer.Format }

func (o *output) addFlags(cmd *cobra.Command) {
	cmd.Flags().VarP(&o.format, "output", "o", "how to print")
}

// printer writes to the command's output, with colours if that is a terminal and
// nobody objects (https://no-color.org).
func (o *output) printer(cmd *cobra.Command) *printer.Printer {
	p := &printer.Printer{Out: cmd.OutOrStdout(), Format: o.format, Width: plainWidth}
	file, ok := p.Out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		p.Width = width
	}
	return p
}
