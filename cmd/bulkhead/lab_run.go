package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/lab/control"
)

const labRunHelp = `Start a lab, let the kernel enforce the policies, try every connection that
"bulkhead matrix" lists with real packets, print the table with what the packets
say of it, and remove everything.

The exit code is 1 if packets and model disagree, or if a connection could not be
tried. Connections over a protocol that the kernel does not have (SCTP, often) are
not tried, which is said and is no failure.`

func newLabRunCommand() *cobra.Command {
	var shape labShape
	var out output
	cmd := &cobra.Command{
		Use:   "run PATH...",
		Short: "Try all connections with real packets, and tidy up",
		Long:  labRunHelp,
		Example: `  bulkhead lab run examples/web-shop
  bulkhead lab run --network bridge --nodes 2 pods.yaml policies/
  bulkhead lab run --no-enforce examples/web-shop    # what is open without the policies
  kubectl get -A -o yaml namespaces,nodes,pods,services,networkpolicies | bulkhead lab run -o json -`,
		Args: usage(needPaths),
		RunE: func(cmd *cobra.Command, paths []string) error {
			start, _, err := shape.start(cmd, paths)
			if err != nil {
				return err
			}
			probed, err := runLab(cmd, start)
			if err != nil {
				return labError(err)
			}
			return out.printProbed(cmd, probed)
		},
	}
	shape.addFlags(cmd)
	out.addFlags(cmd)
	return cmd
}

// runLab starts a lab, probes it and returns when it is gone.
func runLab(cmd *cobra.Command, start control.Start) (probed *control.Probed, err error) {
	ctx, stop := untilInterrupt(cmd)
	defer stop()
	progress := newProgress(cmd.ErrOrStderr())
	defer progress.end()
	client, err := control.Launch(os.Stderr, "lab", "serve")
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := client.Close(); err == nil {
			err = closeErr
		}
	}()
	progress.say("starting the lab")
	if err := client.Start(ctx, start); err != nil {
		return nil, err
	}
	return probeLab(ctx, client, control.Filter{}, progress)
}

func probeLab(ctx context.Context, client *control.Client, filter control.Filter, progress *progress) (*control.Probed, error) {
	progress.say("probing")
	return client.Probe(ctx, filter, func(p control.Progress) {
		progress.say(fmt.Sprintf("probing: %d of %d connections decided", p.Decided, p.Total))
	})
}

// printProbed prints what was found. Its error is errNo if that is not what the
// model says.
func (o *output) printProbed(cmd *cobra.Command, probed *control.Probed) error {
	for _, note := range probed.Notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "bulkhead: note: %s\n", note)
	}
	if err := o.printer(cmd).Print(probed.Matrix); err != nil {
		return err
	}
	var failed []error
	for _, text := range probed.Failed {
		failed = append(failed, fmt.Errorf("could not try %s", text))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if probed.Matrix.Tally().Disagreed > 0 {
		return errNo
	}
	return nil
}
