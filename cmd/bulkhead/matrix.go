package main

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/matrix"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

const matrixHelp = `Print what the policies allow between all pods, by the model alone: no packet is
sent and no cluster is asked.

Asked about is every ordered pair of distinct pods on the destination's container
ports, and where policies mention the outside (an ipBlock, or everybody) one
address of each block and exception, and the nodes that are in one.

Where policies are staged, it also lists the connections that they would change.`

func newMatrixCommand() *cobra.Command {
	var in input
	var out output
	var why bool
	cmd := &cobra.Command{
		Use:     "matrix PATH...",
		Short:   "Print who may reach whom",
		Long:    matrixHelp,
		GroupID: groupModel,
		Example: `  bulkhead matrix examples/web-shop
  bulkhead matrix -o json pods.yaml policies/ | jq '.connections[] | select(.verdict == "allow")'
  kubectl get -A -o yaml namespaces,nodes,pods,services,networkpolicies | bulkhead matrix -`,
		Args: usage(needPaths),
		RunE: func(cmd *cobra.Command, paths []string) error {
			bundle, err := in.load(cmd, paths)
			if err != nil {
				return err
			}
			connections := matrix.Connections(bundle.Snapshot, bundle.Policies)
			model := verdict.New(bundle.Snapshot, bundle.Policies)
			m := matrix.New(model, connections, nil)
			if why {
				m.Explain(model, connections)
			}
			if len(bundle.Policies.Staged) > 0 {
				m.Preview(model, verdict.New(bundle.Snapshot, bundle.Policies.Preview()), connections)
			}
			return out.printer(cmd).Print(m)
		},
	}
	in.addFlags(cmd)
	out.addFlags(cmd)
	cmd.Flags().BoolVar(&why, "why", false, "say of each connection which tier, policy and rule decides it")
	return cmd
}
