package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/doctor"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

const doctorHelp = `Look at this node: whether the kernel can do what Bulkhead needs, whether Bulkhead
or another policy engine enforces here, and whether something lets packets pass
around policies.

The exit code is 1 if something is bad. Nothing is changed.`

func newDoctorCommand() *cobra.Command {
	var out output
	var cni string
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Look for what keeps policies from being enforced",
		Long:    doctorHelp,
		GroupID: groupNode,
		Example: `  sudo bulkhead doctor
  sudo bulkhead doctor -o json | jq '.findings[] | select(.grade == "bad")'`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := doctor.Node(cmd.Context(), cni)
			if err := out.printer(cmd).Print(report); err != nil {
				return err
			}
			if !report.Healthy() {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&cni, "cni-dir", neighbour.CNIDir, "the node's CNI configuration is in `DIR`")
	out.addFlags(cmd)
	return cmd
}
