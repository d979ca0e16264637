package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/lab/control"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// labChange is the flags of commands that change a running lab.
type labChange struct {
	labName
	files []string
}

func (c *labChange) addFlags(cmd *cobra.Command) {
	c.labName.addFlags(cmd)
	cmd.Flags().StringArrayVarP(&c.files, "filename", "f", nil, "`PATH` of a manifest; may be repeated")
}

func (c *labChange) check() error {
	if len(c.files) == 0 {
		return badInput(errors.New("no manifests given: name them with -f"))
	}
	return nil
}

func newLabApplyCommand() *cobra.Command {
	var change labChange
	cmd := &cobra.Command{
		Use:   "apply -f PATH",
		Short: "Add objects to a running lab, or change them",
		Long: `Add objects to a running lab, or put them in the place of those of the same kind and
name. Policies are in force when the command returns, and connections that they no
longer allow are cut.`,
		Example: `  bulkhead lab apply -f deny-all.yaml
  kubectl create deployment web --image nginx --port 80 --dry-run=client -o yaml | bulkhead lab apply -f -`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return change.run(cmd, control.State.Add)
		},
	}
	change.addFlags(cmd)
	return cmd
}

func newLabDeleteCommand() *cobra.Command {
	var change labChange
	cmd := &cobra.Command{
		Use:     "delete -f PATH",
		Short:   "Remove objects from a running lab",
		Example: `  bulkhead lab delete -f deny-all.yaml`,
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return change.run(cmd, control.State.Remove)
		},
	}
	change.addFlags(cmd)
	return cmd
}

// step makes the state after a state.
type step func(s control.State, paths []string, stdin io.Reader) (control.State, *manifest.Bundle, error)

func (c *labChange) run(cmd *cobra.Command, next step) error {
	if err := c.check(); err != nil {
		return err
	}
	client, err := c.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	bundle, err := c.advance(cmd.Context(), client, next, cmd.InOrStdin())
	if err != nil {
		return labError(err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "lab %s has %s, %s now\n", c.name, size(bundle.Snapshot), countPolicies(len(bundle.Policies.Policies)))
	return err
}

func (c *labChange) advance(ctx context.Context, client *control.Client, next step, stdin io.Reader) (*manifest.Bundle, error) {
	now, err := client.State(ctx)
	if err != nil {
		return nil, err
	}
	after, bundle, err := next(now, c.files, stdin)
	if err != nil {
		return nil, err
	}
	return bundle, client.Apply(ctx, after)
}

func countPolicies(n int) string {
	if n == 1 {
		return "1 policy"
	}
	return fmt.Sprintf("%d policies", n)
}
