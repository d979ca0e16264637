package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

func status() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Show nodes and processes of a cluster", Args: cobra.NoArgs}
	name := nameFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := cluster.Open(cmd.Context(), *name)
		if err != nil {
			return err
		}
		s, err := c.Status(cmd.Context())
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "KUBECONFIG\t%s\n\nNODE\tADDRESSES\tPODS\tNETWORK NAMESPACE\n", s.Kubeconfig)
		for _, n := range c.Nodes() {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", n.Name, strings.Join(n.Addresses, ","), strings.Join(n.PodRanges, ","), n.NetNS)
		}
		fmt.Fprint(w, "\nPROCESS\tRUNNING\tSTARTS\tDEATHS\tLAST EXIT\tLOG\n")
		for _, p := range s.Processes {
			fmt.Fprintf(w, "%s\t%t\t%d\t%d\t%s\t%s\n", p.Name, p.Running, p.Starts, p.Deaths, p.LastExit, p.Log)
		}
		return w.Flush()
	}
	return cmd
}

func execute() *cobra.Command {
	cmd := &cobra.Command{
		Use: "exec [flags] -- COMMAND...", Short: "Run a command on a node, in a pod's network, or between the nodes", Args: cobra.MinimumNArgs(1),
		Example: `  cluster exec --node 1 -- nft list ruleset
  cluster exec --pod default/web -- ss -ltn
  cluster exec -- curl -sk https://172.18.0.1:6443/version`,
	}
	name := nameFlag(cmd.Flags())
	node := cmd.Flags().Int("node", 0, "number of the node")
	pod := cmd.Flags().String("pod", "", "NAMESPACE/NAME of the pod")
	cmd.MarkFlagsMutuallyExclusive("node", "pod")
	cmd.RunE = func(cmd *cobra.Command, argv []string) error {
		c, err := cluster.Open(cmd.Context(), *name)
		if err != nil {
			return err
		}
		place := c.Outside()
		switch {
		case *node < 0 || *node > len(c.Nodes()):
			return fmt.Errorf("no node %d: there are 1 to %d", *node, len(c.Nodes()))
		case *node > 0:
			place = c.Node(*node).Place
		case *pod != "":
			namespace, podName, ok := strings.Cut(*pod, "/")
			if !ok {
				return fmt.Errorf("parse pod %q: want NAMESPACE/NAME", *pod)
			}
			if place, err = c.Pod(cmd.Context(), namespace, podName); err != nil {
				return err
			}
		}
		child := place.Command(cmd.Context(), argv...)
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		return child.Run()
	}
	return cmd
}

// processCommand steers one program of the cluster.
func processCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "process {start|stop|kill|restart} NAME [-- COMMAND...]", Short: "Start, stop, kill or replace a program of the cluster",
		Long: `Programs are etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy/NODE
and engine/NODE; status lists them. start and restart take another command to run from
then on, such as a newer engine.`,
		Args: cobra.MinimumNArgs(2),
	}
	name := nameFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := cluster.Open(cmd.Context(), *name)
		if err != nil {
			return err
		}
		ctx, p, command := cmd.Context(), c.Process(args[1]), args[2:]
		switch args[0] {
		case "start":
			return p.Start(ctx, command...)
		case "stop":
			return p.Stop(ctx, 0)
		case "kill":
			return p.Kill(ctx)
		case "restart":
			if err := p.Stop(ctx, 0); err != nil {
				return err
			}
			return p.Start(ctx, command...)
		}
		return fmt.Errorf("unknown action %q: want start, stop, kill or restart", args[0])
	}
	return cmd
}
