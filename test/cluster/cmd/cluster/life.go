package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
)

const defaultName = "default"

func nameFlag(flags *pflag.FlagSet) *string {
	return flags.String("name", defaultName, "name of the cluster; several may run side by side")
}

// configFlags describe a cluster.
func configFlags(flags *pflag.FlagSet) *cluster.Config {
	c := &cluster.Config{Progress: os.Stderr}
	flags.IntVar(&c.Nodes, "nodes", 2, "number of nodes")
	flags.StringVar(&c.Families, "ip", "ipv4", "IP families, the primary first: ipv4, ipv6, or both with a comma")
	flags.StringVar(&c.PodNetwork, "pod-network", "routed", "how the pods of a node are connected: routed or bridge")
	flags.BoolVar(&c.ReuseAddresses, "reuse-addresses", false, "give a new pod the lowest free address")
	flags.StringVar(&c.ProxyMode, "kube-proxy", "nftables", "mode of kube-proxy: nftables, iptables, or none to leave it out")
	flags.VarP(&words{&c.Engine}, "engine", "e", "command to run on every node, in its namespaces; {node}, {node-ip} and {kubeconfig} are replaced")
	flags.StringVar(&c.EngineReady, "engine-ready", "", "URL that answers 200 on a node once its engine is ready")
	flags.StringArrayVar(&c.EngineEnv, "engine-env", nil, "NAME=value for the engine's environment")
	flags.StringArrayVar(&c.Images, "images", nil, "folder with further images, each a folder")
	flags.BoolVar(&c.NoDNS, "no-dns", false, "leave out the name server")
	flags.StringVar(&c.LogDir, "keep-logs", "", "folder to copy the logs to at the end")
	return c
}

// words is a command as one argument, cut at white space; quotes mean nothing.
type words struct{ to *[]string }

func (w *words) String() string     { return strings.Join(*w.to, " ") }
func (w *words) Type() string       { return "command" }
func (w *words) Set(s string) error { *w.to = strings.Fields(s); return nil }

func up() *cobra.Command {
	cmd := &cobra.Command{
		Use: "up", Short: "Start a cluster and leave it running", Args: cobra.NoArgs,
		Example: `  export KUBECONFIG=$(cluster up --engine 'bulkhead agent --kubeconfig {kubeconfig} --node-name {node}')`,
	}
	name, config := nameFlag(cmd.Flags()), configFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config.Name, config.Detach = *name, true
		c, err := cluster.Start(cmd.Context(), *config)
		if err != nil {
			return err
		}
		s, err := c.Status(cmd.Context())
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "cluster %s with %d nodes is up after %.1f s; logs are in %s/logs\n", *name, len(s.Nodes), s.StartTook.Seconds(), c.Dir)
		fmt.Println(c.Kubeconfig)
		return nil
	}
	return cmd
}

func down() *cobra.Command {
	cmd := &cobra.Command{Use: "down", Short: "End a cluster that up has started", Args: cobra.NoArgs}
	name := nameFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := cluster.Open(cmd.Context(), *name)
		if err != nil {
			return err
		}
		return c.Stop()
	}
	return cmd
}

func run() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run [flags] -- COMMAND...", Short: "Start a cluster, run a command with KUBECONFIG set, end the cluster", Args: cobra.MinimumNArgs(1),
	}
	config := configFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, argv []string) (err error) {
		c, err := cluster.Start(cmd.Context(), *config)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Stop()) }()
		child := exec.CommandContext(cmd.Context(), argv[0], argv[1:]...)
		// It gets the same Ctrl-C from the terminal, and time to act on it.
		child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
		child.WaitDelay = 10 * time.Second
		// The main goroutine is the main thread, which lives as long as this process.
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		child.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "CLUSTER="+c.Dir)
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		return child.Run()
	}
	return cmd
}

func build() *cobra.Command {
	return &cobra.Command{
		Use: "build [PROGRAM...]", Short: "Build programs, all that are known unless some are named, and print their paths",
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = binaries.Names()
			}
			cache, err := binaries.DefaultCache(os.Stderr)
			if err != nil {
				return err
			}
			for _, name := range names {
				path, err := cache.Program(cmd.Context(), name)
				if err != nil {
					return err
				}
				fmt.Println(path)
			}
			return nil
		},
	}
}
