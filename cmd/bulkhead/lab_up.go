package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/control"
	"github.com/bulkhead-dev/bulkhead/lab/dns"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

const labUpHelp = `Start a lab that runs in the background until "bulkhead lab down".

If the manifests bring no DNS (a pod labelled k8s-app=kube-dns in kube-system), one
is added, so that programs in pods find services by their names.`

func newLabUpCommand() *cobra.Command {
	var shape labShape
	var name labName
	var noDNS bool
	cmd := &cobra.Command{
		Use:   "up PATH...",
		Short: "Start a lab to play with",
		Long:  labUpHelp,
		Example: `  bulkhead lab up examples/web-shop
  bulkhead lab up --name two --network bridge --nodes 3 pods.yaml policies/`,
		Args: usage(needPaths),
		RunE: func(cmd *cobra.Command, paths []string) error {
			start, bundle, err := shape.start(cmd, paths)
			if err != nil {
				return err
			}
			start.Name = name.name
			if !noDNS && !bringsDNS(bundle.Snapshot) {
				if start.State, bundle, err = start.State.Add([]string{manifest.Stdin}, bytes.NewReader(dns.Manifest)); err != nil {
					return fmt.Errorf("add DNS: %w", err)
				}
			}
			return labError(startLab(cmd, start, bundle))
		},
	}
	shape.addFlags(cmd)
	name.addFlags(cmd)
	cmd.Flags().BoolVar(&noDNS, "no-dns", false, "add no DNS where the manifests bring none")
	return cmd
}

func bringsDNS(s *cluster.Snapshot) bool {
	for _, pod := range s.Pods {
		if dns.Serves(pod) {
			return true
		}
	}
	return s.Services[dns.ServiceName] != nil
}

// startLab starts a lab and leaves it to itself.
func startLab(cmd *cobra.Command, start control.Start, bundle *manifest.Bundle) error {
	begin := time.Now()
	ctx, stop := untilInterrupt(cmd)
	defer stop()
	home, err := control.OpenHome()
	if err != nil {
		return err
	}
	client, err := launchNamed(ctx, home, start)
	if err != nil {
		return err
	}
	if err := client.Detach(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up: %s (%.1f s)\n", start.Name, size(bundle.Snapshot), time.Since(begin).Seconds())
	fmt.Fprintf(cmd.OutOrStdout(), "its log is %s\n", home.Log(start.Name))
	return nil
}

func size(s *cluster.Snapshot) string {
	return fmt.Sprintf("%s, %s", count(len(s.Nodes), "node"), count(len(s.Pods), "pod"))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// launchNamed starts a lab that others can find.
func launchNamed(ctx context.Context, home control.Home, start control.Start) (*control.Client, error) {
	if err := home.Available(start.Name); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(home.Log(start.Name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	client, err := control.Launch(log, "lab", "serve", "--home", home.Dir(), "--log-level", "info")
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx, start); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

func newLabDownCommand() *cobra.Command {
	var name labName
	var all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End a lab, and remove what a crash has left",
		Example: `  bulkhead lab down
  bulkhead lab down --all`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := control.OpenHome()
			if err != nil {
				return err
			}
			names := []string{name.name}
			if all {
				if names, err = home.Names(); err != nil {
					return err
				}
			}
			return labError(endLabs(cmd, home, names))
		},
	}
	name.addFlags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "end all labs")
	return cmd
}

func endLabs(cmd *cobra.Command, home control.Home, names []string) error {
	var errs []error
	for _, name := range slices.Sorted(slices.Values(names)) {
		if err := control.CheckName(name); err != nil {
			return err
		}
		existed, err := home.Down(cmd.Context(), name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case existed:
			fmt.Fprintf(cmd.OutOrStdout(), "lab %s is down\n", name)
		default:
			fmt.Fprintf(cmd.OutOrStdout(), "there is no lab %s\n", name)
		}
	}
	return errors.Join(errs...)
}
