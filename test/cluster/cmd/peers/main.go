// Command peers measures an engine beside kube-router and beside no engine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/test/cluster/peers"
)

// The main thread is never lent to a namespace; see package ns.
func init() { runtime.LockOSThread() }

// exitTrouble is for what could not be measured.
const exitTrouble = 3

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(exitTrouble)
	}
}

type options struct {
	peers.Config
	engine   peers.Engine
	command  string
	beside   []string
	jsonFile string
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "peers", Short: "Measure an engine beside kube-router and beside no engine", Args: cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		Example: `  peers --name Bulkhead --engine 'bulkhead agent --kubeconfig {kubeconfig} --node-name {node}'
  peers --measure throughput --policies-on 0,1000 --rounds 9 --engine '…'`,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.command, "engine", "", "command of the engine; {node}, {node-ip} and {kubeconfig} are replaced")
	flags.StringVar(&o.engine.Ready, "engine-ready", "", "URL that answers 200 on a node once its engine is ready")
	flags.StringVar(&o.engine.Name, "name", "engine", "name of the engine")
	flags.StringVar(&o.engine.Version, "engine-version", "", "version of the engine")
	flags.StringSliceVar(&o.beside, "beside", []string{"none", "kube-router"}, "what to measure beside it: none, kube-router")
	flags.StringSliceVar(&o.Measures, "measure", peers.Measures(), "what to measure")
	flags.IntVar(&o.Pods, "pods", 200, "other pods, on both nodes together")
	flags.IntVar(&o.Policies, "policies", 100, "policies on other pods")
	flags.IntSliceVar(&o.On, "policies-on", []int{0, 10, 100, 500, 1000}, "numbers of policies that select the target, growing; 0 or at least 2")
	flags.IntVar(&o.Rounds, "rounds", 7, "rounds of each throughput")
	flags.IntVar(&o.Times, "times", 15, "how often each reaction is timed")
	flags.StringVar(&o.LogDir, "logs", "", "folder for the clusters' logs; \"\" throws them away")
	flags.StringVar(&o.jsonFile, "json", "", "file for every single result; \"\" is none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) }
	return cmd
}

func (o *options) run(ctx context.Context) error {
	o.Progress = os.Stderr
	if err := o.chooseEngines(ctx); err != nil {
		return err
	}
	if !slices.IsSorted(o.On) || slices.Contains(o.On, 1) {
		return fmt.Errorf("measure with %v policies: want growing numbers, 0 or at least 2", o.On)
	}
	results, err := peers.Run(ctx, o.Config)
	return errors.Join(err, o.save(results), peers.Write(os.Stdout, results))
}

func (o *options) chooseEngines(ctx context.Context) error {
	for _, name := range o.beside {
		switch name {
		case "none":
			o.Engines = append(o.Engines, peers.Engine{Name: "no engine"})
		case "kube-router":
			router, err := peers.KubeRouter(ctx, o.Progress)
			if err != nil {
				return err
			}
			o.Engines = append(o.Engines, router)
		default:
			return fmt.Errorf("find engine %q: want none or kube-router", name)
		}
	}
	if o.command == "" {
		return nil
	}
	o.engine.Command = strings.Fields(o.command)
	path, err := exec.LookPath(o.engine.Command[0])
	if err != nil {
		return fmt.Errorf("find engine: %w", err)
	}
	if o.engine.Command[0], err = filepath.Abs(path); err != nil {
		return fmt.Errorf("find engine: %w", err)
	}
	o.Engines = append(o.Engines, o.engine)
	return nil
}

func (o *options) save(results []*peers.Result) error {
	if o.jsonFile == "" {
		return nil
	}
	content, err := json.MarshalIndent(results, "", "\t")
	if err != nil {
		return fmt.Errorf("save results: %w", err)
	}
	if err := os.WriteFile(o.jsonFile, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("save results: %w", err)
	}
	return nil
}
