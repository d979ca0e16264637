package main

import (
	"context"
	"errors"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/lab/control"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

const labHelp = `Try policies with real packets, on this machine, without a cluster.

A lab is a cluster of network namespaces: nodes, pods with listeners on their
container ports, services, DNS, and outside of it a host that has every other
address, the instance metadata service included. Each node runs the same engine
that enforces policies in a cluster. The machine's own network is not touched,
and everything is gone when the lab is.

Labs run as root, and without root where the kernel lets users make namespaces.`

func newLabCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lab",
		Short:   "Try policies with real packets",
		Long:    labHelp,
		GroupID: groupLab,
		Example: `  bulkhead lab run examples/web-shop
  bulkhead lab up examples/web-shop
  bulkhead lab exec shop/frontend -- curl http://backend/
  bulkhead lab down`,
		Args: usage(cobra.NoArgs),
		// Most lab commands have nothing to tidy up. Those that have say so
		// once they do (untilInterrupt).
		PersistentPreRun: func(*cobra.Command, []string) { signal.Reset(interrupts...) },
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newLabRunCommand(),
		newLabUpCommand(),
		newLabApplyCommand(),
		newLabDeleteCommand(),
		newLabExecCommand(),
		newLabProbeCommand(),
		newLabStatusCommand(),
		newLabDownCommand(),
		newLabServeCommand(),
	)
	return cmd
}

// untilInterrupt is a context that ends at the first interrupt. The second ends
// the program at once.
func untilInterrupt(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(cmd.Context(), interrupts...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// labShape is the flags of commands that start a lab.
type labShape struct {
	input
	network   string
	noEnforce bool
}

func (s *labShape) addFlags(cmd *cobra.Command) {
	s.input.addFlags(cmd)
	cmd.Flags().StringVar(&s.network, "network", network.Routed.String(), "the pod network: routed or bridge")
	cmd.Flags().BoolVar(&s.noEnforce, "no-enforce", false, "do not enforce the policies, to see what is open without them")
}

// start reads manifests and says what lab they make. Its errors are bad input.
func (s *labShape) start(cmd *cobra.Command, paths []string) (control.Start, *manifest.Bundle, error) {
	mode, err := network.ParseMode(s.network)
	if err != nil {
		return control.Start{}, nil, badInput(err)
	}
	bundle, err := s.load(cmd, paths)
	if err != nil {
		return control.Start{}, nil, err
	}
	if err := mode.Check(bundle.Snapshot); err != nil {
		return control.Start{}, nil, badInput(err)
	}
	state, err := control.NewState(bundle, s.nodes)
	return control.Start{Network: s.network, NoEnforce: s.noEnforce, State: state}, bundle, err
}

// labName is the flag that chooses a lab.
type labName struct{ name string }

func (n *labName) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.name, "name", "default", "the lab's `NAME`, where there are several")
}

// dial finds the lab.
func (n *labName) dial() (*control.Client, error) {
	home, err := control.OpenHome()
	if err != nil {
		return nil, err
	}
	client, err := home.Dial(n.name)
	return client, labError(err)
}

// labError tells what is the user's to mend in what a lab has answered.
func labError(err error) error {
	var input control.InputError
	if errors.As(err, &input) {
		return badInput(err)
	}
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}
