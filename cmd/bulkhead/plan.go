package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/printer"
)

const planHelp = `Print the tables that one node's policies compile to, in their canonical form:
equal tables give equal text, line by line.

A peer is a group of addresses that satisfy the same selectors and blocks; a class
is what the policies of some pods of the node say of each group. The kernel's sets
and maps hold exactly these entries.

With --live it is the kernel of this node that is read, and compared with what the
agent of this node asks for; the exit code is 1 if the two differ.`

const planDiffHelp = `Print how two plans differ: lines that go start with "-", lines that come with "+".

Each of A and B is a text that "bulkhead plan" printed, or manifests: a file, a
folder (with all below it) or "-" for standard input.

The exit code is 0 if the plans are equal, 1 if they differ and 2 for bad input.`

func newPlanCommand() *cobra.Command {
	var in input
	var out output
	var node, address string
	var fromKernel bool
	cmd := &cobra.Command{
		Use:     "plan [PATH... --node NAME | --live]",
		Short:   "Print the tables that a node's kernel gets",
		Long:    planHelp,
		GroupID: groupModel,
		Example: `  bulkhead plan examples/web-shop --node node-1
  bulkhead plan -o json examples/web-shop --node node-1 | jq '.classes[].policies'
  sudo bulkhead plan --live`,
		Args: usage(func(cmd *cobra.Command, paths []string) error {
			if fromKernel {
				return cobra.NoArgs(cmd, paths)
			}
			return needPaths(cmd, paths)
		}),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if fromKernel {
				return printLive(cmd, out.printer(cmd), address)
			}
			p, err := in.plan(cmd, paths, node)
			if err != nil {
				return err
			}
			return out.printer(cmd).Print(tables{p})
		},
	}
	in.addFlags(cmd)
	out.addFlags(cmd)
	addNodeFlag(cmd, &node)
	cmd.Flags().BoolVar(&fromKernel, "live", false, "read this node's kernel, and compare with what its agent asks for")
	cmd.Flags().StringVar(&address, "agent", agentAddress, "with --live, `ADDRESS:PORT` where the agent listens")
	cmd.AddCommand(newPlanDiffCommand())
	return cmd
}

func newPlanDiffCommand() *cobra.Command {
	var in input
	var out output
	var node string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Print how two plans differ",
		Long:  planDiffHelp,
		Example: `  bulkhead plan examples/web-shop --node node-1 > saved
  bulkhead plan diff saved examples/web-shop-two-entries`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, paths []string) error {
			a, b, err := in.plans(cmd, paths[0], paths[1], node)
			if err != nil {
				return err
			}
			d := newDifference(plan.Compare(a, b))
			if err := out.printer(cmd).Print(d); err != nil {
				return err
			}
			if !d.Equal {
				return errNo
			}
			return nil
		},
	}
	in.addFlags(cmd)
	out.addFlags(cmd)
	addNodeFlag(cmd, &node)
	return cmd
}

func addNodeFlag(cmd *cobra.Command, node *string) {
	cmd.Flags().StringVar(node, "node", "", "the `NODE` to compile for; needed where there are several")
}

// plan compiles manifests for a node; with an empty name, for the only one.
func (in *input) plan(cmd *cobra.Command, paths []string, node string) (*plan.Plan, error) {
	bundle, err := in.load(cmd, paths)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(bundle.Snapshot.Nodes))
	switch {
	case node == "" && len(names) == 1:
		node = names[0]
	case node == "":
		return nil, badInput(fmt.Errorf("there are %d nodes: choose one with --node: %s", len(names), strings.Join(names, ", ")))
	case !slices.Contains(names, node):
		return nil, badInput(fmt.Errorf("there is no node %q: use one of %s", node, strings.Join(names, ", ")))
	}
	return compile.Full(node, bundle.Snapshot, bundle.Policies), nil
}

// plans are two plans of one node. A saved one tells which node is meant.
func (in *input) plans(cmd *cobra.Command, first, second, node string) (*plan.Plan, *plan.Plan, error) {
	if first == "-" && second == "-" {
		return nil, nil, badInput(errors.New("both plans are to be read from standard input: give one of them as a file"))
	}
	read := [2]*plan.Plan{}
	for i, path := range []string{first, second} {
		saved, err := savedPlan(cmd, path)
		if err != nil {
			return nil, nil, badInput(err)
		}
		if read[i] = saved; saved != nil && node == "" {
			node = saved.Node
		}
	}
	for i, path := range []string{first, second} {
		if read[i] != nil {
			continue
		}
		compiled, err := in.plan(cmd, []string{path}, node)
		if err != nil {
			return nil, nil, err
		}
		read[i] = compiled
	}
	if read[0].Node != read[1].Node {
		return nil, nil, badInput(fmt.Errorf("%s is a plan of node %q and %s one of node %q: compare plans of one node", first, read[0].Node, second, read[1].Node))
	}
	return read[0], read[1], nil
}

// savedPlan reads a plan's text; it is nil if the path holds something else.
// What was read of standard input can be read again.
func savedPlan(cmd *cobra.Command, path string) (*plan.Plan, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
		cmd.SetIn(bytes.NewReader(text))
	} else if info, failed := os.Stat(path); failed == nil && info.Mode().IsRegular() {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !isPlan(string(text)) {
		return nil, nil
	}
	p, err := plan.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse plan %s: %w", path, err)
	}
	return p, nil
}

// isPlan tells whether a text begins as a plan's does. Manifests do not.
func isPlan(text string) bool {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			return strings.HasPrefix(l, "plan ")
		}
	}
	return false
}

// tables print a plan: its text for people.
type tables struct{ *plan.Plan }

func (t tables) WriteTable(p *printer.Printer) error {
	_, err := io.WriteString(p.Out, plan.Text(t.Plan))
	return err
}

// difference prints a diff.
type difference struct {
	Equal bool `json:"equal"`
	// Touched is the number of table entries that change.
	Touched int `json:"touched"`
	// Revokes: something that was allowed may be denied.
	Revokes bool     `json:"revokes"`
	Lines   []string `json:"lines"`
}

func newDifference(d plan.Diff) difference {
	lines := strings.Split(strings.TrimSuffix(d.Text(), "\n"), "\n")
	if d.Empty() {
		lines = []string{}
	}
	return difference{Equal: d.Empty(), Touched: d.Len(), Revokes: d.Revokes(), Lines: lines}
}

func (d difference) WriteTable(p *printer.Printer) error {
	for _, line := range d.Lines {
		if _, err := fmt.Fprintln(p.Out, line); err != nil {
			return err
		}
	}
	return nil
}
