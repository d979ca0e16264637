// Datapath measures what policy enforcement costs packets.
//
// For each way to enforce (a variant) it makes a client, a server and a router
// between them, each a network namespace; the variant's tables are in the router.
// All variants are measured in turn in every round, in short slices and in an
// order that changes, so that a noisy machine is noisy for all of them. What
// counts is a variant's ratio to plain connection tracking in the same round; the
// median of the rounds is printed.
//
// Bulkhead's tables are what the compiler and the dataplane make of the same
// policies that the iptables variants have as linear chains with ipsets.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the command line.
type options struct {
	rounds   int
	slice    time.Duration
	pods     int
	policies []int
	only     []string // variants; empty: all
	updates  int
	format   string
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("datapath", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 10, "rounds to measure")
	flags.DurationVar(&o.slice, "duration", 250*time.Millisecond, "how long each variant is measured in a round, for each of the four workloads")
	flags.IntVar(&o.pods, "pods", 100_000, "pods of the cluster")
	policies := flags.String("policies", "10,1000,10000", "numbers of policies")
	only := flags.String("variants", "", "only the variants whose names begin so, such as none,bulkhead")
	flags.IntVar(&o.updates, "updates", 300, "changes of one pod to time in the largest table")
	flags.StringVar(&o.format, "o", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, s := range strings.Split(*policies, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < minPolicies || n > maxPolicies {
			return o, fmt.Errorf("-policies %q: want numbers from %d to %d, such as 10,1000", *policies, minPolicies, maxPolicies)
		}
		o.policies = append(o.policies, n)
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	if o.rounds < 1 || o.slice <= 0 || o.pods < 1000 || o.format != "table" && o.format != "json" {
		return o, errors.New("want at least one round, a duration, 1,000 pods, and -o table or json")
	}
	return o, nil
}

func (o options) wants(name string) bool {
	return name == plainName || len(o.only) == 0 ||
		slices.ContainsFunc(o.only, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "datapath:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "datapath:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	paths, err := build(ctx, o)
	defer func() {
		for _, p := range paths {
			p.close()
		}
	}()
	if err != nil {
		return err
	}
	report := newReport(o)
	if err := measure(ctx, o, paths, report); err != nil {
		return err
	}
	for _, p := range paths {
		if p.update == nil || p.policies != slices.Max(o.policies) {
			continue
		}
		if report.Updates, err = p.update(ctx, o.updates); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	report.Targets = targets(report, o.policies)
	if o.format == "json" {
		return json.NewEncoder(os.Stdout).Encode(report)
	}
	report.print(os.Stdout)
	return nil
}

// say is for people who wait.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
