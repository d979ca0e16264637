package main

import (
	"github.com/spf13/cobra"
)

// The groups that the help lists commands in.
const (
	groupModel = "model"
	groupLab   = "lab"
	groupNode  = "node"
)

const rootHelp = `Bulkhead says what network policies do, and lets the kernel enforce them.

PATH is a file, a folder (with all below it) or "-" for standard input; it holds
Kubernetes manifests or what "kubectl get -A -o yaml" prints.

Exit codes:
  0  fine
  1  the answer is "no", or model and packets disagree
  2  bad input: a manifest, an argument or a flag
  3  it could not be done: the kernel, a permission, an interrupt`

// newRootCommand is the whole command line.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "bulkhead",
		Short:         "Say what network policies do, and enforce them",
		Long:          rootHelp,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),

		PersistentPreRun: endAtInterrupt,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return badInput(err) })
	root.AddGroup(
		&cobra.Group{ID: groupModel, Title: "Answers from manifests:"},
		&cobra.Group{ID: groupLab, Title: "Answers from packets:"},
		&cobra.Group{ID: groupNode, Title: "On a node of a cluster:"},
	)
	root.AddCommand( // one line per command
		newMatrixCommand(),
		newExplainCommand(), newConvertCommand(),
		newLabCommand(),
		newPlanCommand(),
		newAgentCommand(),
		newStatusCommand(),
		newDoctorCommand(),
		newCRDsCommand(),
		newUninstallCommand(),
		newVersionCommand(),
	)
	return root
}
