package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/lab"
	"github.com/bulkhead-dev/bulkhead/lab/control"
	"github.com/bulkhead-dev/bulkhead/printer"
)

func newLabStatusCommand() *cobra.Command {
	var name string
	var out output
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print which labs run, and what is in them",
		Long: `Print which labs run, with their nodes, pods and policies and what was denied, and
which have left something behind in a crash.

The exit code is 1 if there is none.`,
		Example: `  bulkhead lab status
  bulkhead lab status -o json | jq '.labs[].nodes[].pods[].name'`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := findLabs(cmd, name)
			if err != nil {
				return labError(err)
			}
			if err := out.printer(cmd).Print(found); err != nil {
				return err
			}
			if len(found.Labs) == 0 {
				return errNo
			}
			return nil
		},
	}
	out.addFlags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "only the lab of this `NAME`")
	return cmd
}

// labs is the answer of lab status.
type labs struct {
	Labs []labState `json:"labs"`
}

// labState is one lab. One that does not run has only its name.
type labState struct {
	*control.Status
	Name    string `json:"name"`
	Running bool   `json:"running"`
}

func findLabs(cmd *cobra.Command, only string) (*labs, error) {
	home, err := control.OpenHome()
	if err != nil {
		return nil, err
	}
	names, err := home.Names()
	if err != nil {
		return nil, err
	}
	found := &labs{Labs: []labState{}}
	for _, name := range names {
		if only != "" && name != only {
			continue
		}
		state, err := lookAtLab(cmd, home, name)
		if err != nil {
			return nil, fmt.Errorf("look at lab %s: %w", name, err)
		}
		found.Labs = append(found.Labs, state)
	}
	return found, nil
}

func lookAtLab(cmd *cobra.Command, home control.Home, name string) (labState, error) {
	client, err := home.Dial(name)
	var missing control.InputError
	if errors.Is(err, control.ErrGone) || errors.As(err, &missing) {
		return labState{Name: name}, nil
	}
	if err != nil {
		return labState{}, err
	}
	defer client.Close()
	status, err := client.Status(cmd.Context())
	return labState{Name: name, Running: true, Status: status}, err
}

// WriteTable writes the labs for people.
func (l *labs) WriteTable(p *printer.Printer) error {
	if len(l.Labs) == 0 {
		_, err := fmt.Fprintln(p.Out, "no lab is up")
		return err
	}
	for i, state := range l.Labs {
		if i > 0 {
			fmt.Fprintln(p.Out)
		}
		if err := state.write(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *labState) write(p *printer.Printer) error {
	if !s.Running {
		_, err := fmt.Fprintf(p.Out, "%s has crashed and left its files: bulkhead lab down --name %s\n", p.Paint(printer.Bold, "lab "+s.Name), s.Name)
		return err
	}
	enforced := "policies enforced"
	if !s.Enforced {
		enforced = p.Paint(printer.Alarm, "policies not enforced")
	}
	fmt.Fprintf(p.Out, "%s: %s network, %s, process %d\n", p.Paint(printer.Bold, "lab "+s.Name), s.Network, enforced, s.PID)
	for _, note := range s.Notes {
		fmt.Fprintf(p.Out, "note: %s\n", note)
	}
	var rows [][]printer.Cell
	for _, node := range s.Nodes {
		rows = append(rows, nodeRows(node)...)
	}
	for _, svc := range s.Services {
		rows = append(rows, row("service/"+svc.Name, joined(svc.Addrs), strings.Join(svc.Ports, ", ")))
	}
	for _, policy := range s.Policies {
		rows = append(rows, row("policy "+policy))
	}
	return p.Columns(rows)
}

func nodeRows(node lab.NodeStatus) [][]printer.Cell {
	rows := [][]printer.Cell{row("node/"+node.Name, joined(node.Addrs))}
	for _, pod := range node.Pods {
		rows = append(rows, row("  "+pod.Name, joined(pod.Addrs), strings.Join(pod.Ports, ", ")))
	}
	for _, d := range node.Denied {
		rows = append(rows, row(fmt.Sprintf("  denied %s", d.Direction), fmt.Sprintf("%d packets", d.Packets), "by "+strings.Join(d.Policies, ", ")))
	}
	return rows
}

func row(texts ...string) []printer.Cell {
	cells := make([]printer.Cell, len(texts))
	for i, text := range texts {
		cells[i].Text = text
	}
	return cells
}

func joined(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
