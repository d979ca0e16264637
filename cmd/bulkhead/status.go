package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/agent"
)

const statusHelp = `Ask the agent of this node what is enforced, for which pods, since when, and what
failed and why.

The exit code is 1 while the kernel does not have what was asked for: the agent is
still reading, the kernel refuses, or a policy cannot be enforced.`

func newStatusCommand() *cobra.Command {
	var out output
	var address string
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Print what this node's agent enforces",
		Long:    statusHelp,
		GroupID: groupNode,
		Example: `  bulkhead status
  bulkhead status -o json | jq '.pods[] | select(.ingress.isolated | not)'
  kubectl exec -n kube-system bulkhead-x7k2p -- bulkhead status`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := netip.ParseAddrPort(address); err != nil {
				return badInput(fmt.Errorf("--agent %q: %w: give ADDRESS:PORT", address, err))
			}
			status, err := agent.Ask(cmd.Context(), address)
			if err != nil {
				return err
			}
			if err := out.printer(cmd).Print(status); err != nil {
				return err
			}
			if !status.Enforces() {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "agent", agentAddress, "`ADDRESS:PORT` where the agent listens")
	out.addFlags(cmd)
	return cmd
}
