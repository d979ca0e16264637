package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/agent"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/proxy"
)

const uninstallHelp = `Take enforcement away from this node: remove the kernel's table "inet bulkhead" and
the routing rule of the proxies from the network namespace that this runs in. Nothing
else was ever changed, so nothing else has to be put back; open connections are not
disturbed.

An agent that runs here would put the table back, so stop it first.`

func newUninstallCommand() *cobra.Command {
	var stay bool
	cmd := &cobra.Command{
		Use:     "uninstall",
		Short:   "Take enforcement away from this node",
		Long:    uninstallHelp,
		GroupID: groupNode,
		Example: `  sudo bulkhead uninstall
  kubectl apply -f deploy/uninstall.yaml   # on all nodes of a cluster, see docs/install.md`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			said, err := uninstall(cmd.Context())
			if err != nil {
				return fmt.Errorf("uninstall: %w", err)
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), said); err != nil {
				return err
			}
			if stay {
				<-cmd.Context().Done()
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&stay, "stay", false, "do not end afterwards, for a DaemonSet, which would start it again")
	return cmd
}

func uninstall(ctx context.Context) (said string, err error) {
	unlock, err := agent.Lock()
	if errors.Is(err, agent.ErrRunning) {
		return "", fmt.Errorf("%w: stop it first, it would put the table back", err)
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	tables, err := nft.New(nft.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, tables.Close()) }()
	said = "removed table inet " + nft.TableName + ": policies are no longer enforced on this node"
	if _, err := tables.Live(ctx); errors.Is(err, nft.ErrNoTable) {
		said = "there is no table inet " + nft.TableName + ": nothing was enforced on this node"
	}
	return said, errors.Join(tables.Delete(ctx), proxy.Uninstall())
}
