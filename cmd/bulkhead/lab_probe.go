package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/lab/control"
)

func newLabProbeCommand() *cobra.Command {
	var name labName
	var out output
	var filter control.Filter
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Try the connections of a running lab",
		Long: `Try the connections of a running lab, as "bulkhead lab run" does.

Endpoints are written as in the table: shop/frontend, node/node-1, ip/203.0.113.10;
* and ? stand for any characters but /.

The exit code is 1 if packets and model disagree.`,
		Example: `  bulkhead lab probe
  bulkhead lab probe --from 'shop/*' --to shop/backend --port 8080`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := name.dial()
			if err != nil {
				return err
			}
			defer client.Close()
			progress := newProgress(cmd.ErrOrStderr())
			probed, err := probeLab(cmd.Context(), client, filter, progress)
			progress.end()
			if err != nil {
				return labError(err)
			}
			if len(probed.Matrix.Rows) == 0 && filter != (control.Filter{}) {
				return badInput(fmt.Errorf("nothing to try: no connection fits the flags"))
			}
			return out.printProbed(cmd, probed)
		},
	}
	name.addFlags(cmd)
	out.addFlags(cmd)
	cmd.Flags().StringVar(&filter.From, "from", "", "only from this `ENDPOINT`")
	cmd.Flags().StringVar(&filter.To, "to", "", "only to this `ENDPOINT`")
	cmd.Flags().Uint16Var(&filter.Port, "port", 0, "only to this `PORT`")
	return cmd
}
