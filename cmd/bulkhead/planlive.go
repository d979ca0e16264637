package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/agent"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/printer"
)

// live is what the kernel has, next to what its agent asks for.
type live struct {
	Plan *plan.Plan `json:"plan"`
	// Agent is how the two compare: "equal", "different", or why there is
	// nothing to compare with.
	Agent string `json:"agent"`
	// Difference is what turns the kernel's plan into the agent's.
	Difference *difference `json:"difference,omitempty"`
}

// readLive reads the kernel's tables and asks the agent for its plan. Texts in
// the kernel are cut short, so the agent's are cut alike.
func readLive(cmd *cobra.Command, address string) (live, error) {
	var l live
	tables, err := nft.New(nft.Options{})
	if err != nil {
		return l, err
	}
	defer tables.Close()
	if l.Plan, err = tables.Live(cmd.Context()); err != nil {
		return l, fmt.Errorf("read the kernel's tables: %w", err)
	}
	desired, err := agent.AskPlan(cmd.Context(), address)
	if err != nil {
		l.Agent = err.Error()
		if errors.Is(err, agent.ErrNoAgent) {
			return l, nil
		}
		return l, err
	}
	d := newDifference(plan.Compare(l.Plan, nft.Shown(desired)))
	l.Agent, l.Difference = "equal", &d
	if !d.Equal {
		l.Agent = "different"
	}
	return l, nil
}

func printLive(cmd *cobra.Command, p *printer.Printer, address string) error {
	l, err := readLive(cmd, address)
	if err != nil {
		return err
	}
	if err := p.Print(l); err != nil {
		return err
	}
	if l.Difference != nil && !l.Difference.Equal {
		return errNo
	}
	return nil
}

func (l live) WriteTable(p *printer.Printer) error {
	text := plan.Text(l.Plan)
	switch {
	case l.Difference == nil:
		text += "# not compared: " + l.Agent + "\n"
	case l.Difference.Equal:
		text += "# the agent asks for exactly this\n"
	default:
		text += "# the agent asks for something else:\n# " + strings.Join(l.Difference.Lines, "\n# ") + "\n"
	}
	_, err := io.WriteString(p.Out, text)
	return err
}
