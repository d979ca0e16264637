// Command conformance runs the upstream suites against an engine and without
// one, and writes docs/conformance.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/test/cluster/conformance"
)

// The main thread is never lent to a namespace; see package ns.
func init() { runtime.LockOSThread() }

// Exit codes: 1 is a suite that failed, or one that cannot fail; 3 is one that
// could not be run.
const (
	exitDisagreement = 1
	exitTrouble      = 3
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	cancel()
	var disagreement disagreementError
	switch {
	case err == nil:
	case errors.As(err, &disagreement):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitDisagreement)
	default:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(exitTrouble)
	}
}

type disagreementError struct{ error }

type options struct {
	engine               conformance.Engine
	command              string
	suites, proxies, ips []string
	pods                 []string
	without              bool
	dir, out             string
	procs                int
	parts, part          int
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "conformance", Short: "Run the upstream suites against an engine and without one", Args: cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true,
		Example: `  conformance --name Bulkhead --engine 'bulkhead agent --kubeconfig {kubeconfig} --node-name {node}' --out docs/conformance.md
  conformance --suite e2e --kube-proxy nftables --without=false --engine '…'`,
	}
	flags := cmd.Flags()
	flags.StringVar(&o.command, "engine", "", "command of the engine; {node}, {node-ip} and {kubeconfig} are replaced")
	flags.StringVar(&o.engine.Ready, "engine-ready", "", "URL that answers 200 on a node once its engine is ready")
	flags.StringVar(&o.engine.Name, "name", "engine", "name of the engine")
	flags.StringVar(&o.engine.Version, "engine-version", "", "version of the engine")
	flags.StringSliceVar(&o.suites, "suite", []string{"e2e", "cyclonus"}, "suites to run: e2e, cyclonus, cnp")
	flags.StringSliceVar(&o.proxies, "kube-proxy", []string{"nftables", "iptables"}, "modes of kube-proxy")
	flags.StringSliceVar(&o.pods, "pod-network", []string{"routed"}, "pod networks: routed, bridge")
	flags.StringArrayVar(&o.ips, "ip", []string{"ipv4"}, "IP families of a cluster: ipv4, ipv6, or both with a comma; may be given several times")
	flags.BoolVar(&o.without, "without", true, "run the suites without an engine too")
	flags.StringVar(&o.dir, "results", "", "folder for logs and results, whose earlier runs are in the report too; \"\" is a new one")
	flags.IntVar(&o.parts, "parts", 1, "clusters that share a long suite, side by side")
	flags.IntVar(&o.part, "part", 0, "run only this part of --parts, counted from 1; the report is written when none is missing")
	flags.IntVar(&o.procs, "procs", 4, "parallel processes of a suite that has them")
	flags.StringVar(&o.out, "out", "", "file for the report; \"\" is standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) }
	return cmd
}

func (o *options) run(ctx context.Context) error {
	suites, err := o.chosen()
	if err != nil {
		return err
	}
	if err := o.complete(); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "logs and results are in", o.dir)
	for _, setup := range o.setups() {
		for _, suite := range suites {
			if err := o.runParts(ctx, suite, setup); err != nil {
				return err
			}
		}
	}
	runs, err := conformance.Load(o.dir)
	if errors.Is(err, conformance.ErrIncomplete) && o.part > 0 {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	if err != nil {
		return err
	}
	report := &conformance.Report{Runs: runs, Date: time.Now()}
	if err := o.write(report); err != nil {
		return err
	}
	if wrong := report.Err(); len(wrong) > 0 {
		return disagreementError{errors.Join(wrong...)}
	}
	return nil
}

// runParts runs the parts of a suite that are asked for, side by side.
func (o *options) runParts(ctx context.Context, suite conformance.Suite, setup conformance.Setup) error {
	first, last := 1, o.parts
	if o.part > 0 {
		first, last = o.part, o.part
	}
	if !suite.Parts {
		last = first
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for i := first; i <= last; i++ {
		runner := &conformance.Runner{Dir: o.dir, Procs: o.procs, Part: conformance.Part{Index: i, Of: o.parts}, Progress: os.Stderr}
		running.Go(func() {
			if _, err := runner.Run(ctx, suite, setup); err != nil {
				cancel(err) // the first is the reason of all
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// short are the names of the suites on the command line.
var short = map[string]string{"e2e": "Kubernetes e2e Netpol", "cyclonus": "cyclonus generate", "cnp": "ClusterNetworkPolicy"}

func (o *options) chosen() ([]conformance.Suite, error) {
	var all []conformance.Suite
	for _, name := range o.suites {
		i := slices.IndexFunc(conformance.Suites, func(s conformance.Suite) bool { return s.Name == short[name] })
		if i < 0 {
			return nil, fmt.Errorf("find suite %q: want e2e, cyclonus or cnp", name)
		}
		all = append(all, conformance.Suites[i])
	}
	return all, nil
}

// complete finds the engine's program, its version, and a folder.
func (o *options) complete() (err error) {
	if o.parts < 1 || o.part < 0 || o.part > o.parts {
		return fmt.Errorf("run part %d of %d: want --parts of at least 1, and --part up to it", o.part, o.parts)
	}
	o.engine.Command = strings.Fields(o.command)
	if len(o.engine.Command) > 0 {
		path, err := exec.LookPath(o.engine.Command[0])
		if err != nil {
			return fmt.Errorf("find engine: %w", err)
		}
		if o.engine.Command[0], err = filepath.Abs(path); err != nil {
			return fmt.Errorf("find engine: %w", err)
		}
	}
	if o.dir == "" {
		o.dir, err = os.MkdirTemp("", "conformance-*")
		return err
	}
	o.dir, err = filepath.Abs(o.dir)
	return err
}

// setups are the clusters to run each suite on, those with the engine first.
func (o *options) setups() []conformance.Setup {
	var engines []conformance.Engine
	if !o.engine.None() {
		engines = append(engines, o.engine)
	}
	if o.without {
		engines = append(engines, conformance.Engine{})
	}
	var all []conformance.Setup
	for _, engine := range engines {
		for _, proxy := range o.proxies {
			for _, pods := range o.pods {
				for _, ip := range o.ips {
					all = append(all, conformance.Setup{Engine: engine, ProxyMode: proxy, PodNetwork: pods, Families: ip})
				}
			}
		}
	}
	return all
}

func (o *options) write(report *conformance.Report) error {
	if o.out == "" {
		return report.Write(os.Stdout)
	}
	file, err := os.Create(o.out)
	if err != nil {
		return fmt.Errorf("make report: %w", err)
	}
	return errors.Join(report.Write(file), file.Close())
}
