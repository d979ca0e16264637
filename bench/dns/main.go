// Dns measures what the DNS proxy costs queries.
//
// Two pods of a lab ask the cluster's name server for a name: one under a rule for
// names, whose queries pass the proxy, and one under none, whose queries go there
// directly. Client, proxy and server share the machine. Both are measured in turn
// in every round, in an order that changes; the medians of the rounds are printed.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab"
	"github.com/bulkhead-dev/bulkhead/lab/dns"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

//go:embed world.yaml
var world string

// What has to be reached: queries a second through the proxy, and how much longer
// one takes.
const (
	leastRate  = 20_000
	mostLonger = 150 * time.Microsecond
)

func main() {
	rounds := flag.Int("rounds", 10, "rounds to measure")
	slice := flag.Duration("duration", 500*time.Millisecond, "how long each way is measured in a round, for each of the two workloads")
	format := flag.String("o", "table", "table or json")
	flag.Parse()
	if *rounds < 1 || *slice <= 0 || *format != "table" && *format != "json" {
		fmt.Fprintln(os.Stderr, "dns: want at least one round, a duration, and -o table or json")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *slice, *format); err != nil {
		fmt.Fprintln(os.Stderr, "dns:", err)
		os.Exit(3)
	}
}

func run(ctx context.Context, rounds int, slice time.Duration, format string) (err error) {
	bundle, err := manifest.Load([]string{"-"}, manifest.Options{Nodes: 2}, strings.NewReader(world))
	if err != nil {
		return err
	}
	l, err := lab.Start(ctx, lab.Config{}, bundle.Snapshot, bundle.Policies)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	server := netip.AddrPortFrom(bundle.Snapshot.Services[dns.ServiceName].ClusterIPs[0], dns.Port)
	ways := []*way{{Name: "direct"}, {Name: "proxied"}}
	for _, w := range ways {
		w.pod, w.server = cluster.Name{Namespace: "bench", Name: w.Name}, server
		if err := w.open(l); err != nil {
			return err
		}
		defer w.close()
	}
	for n := range rounds {
		fmt.Fprintf(os.Stderr, "\rround %d of %d", n+1, rounds)
		for _, w := range ways {
			if err := errors.Join(w.measure(slice), ctx.Err()); err != nil {
				return err
			}
		}
		slices.Reverse(ways)
	}
	fmt.Fprint(os.Stderr, "\r                    \r")
	slices.SortFunc(ways, func(a, b *way) int { return strings.Compare(a.Name, b.Name) })
	return report(ways[0], ways[1], format)
}

// figures are a way's medians.
type figures struct {
	Name    string        `json:"name"`
	Rate    float64       `json:"queriesPerSecond"`
	Latency time.Duration `json:"latencyNanoseconds"`
}

func report(direct, proxied *way, format string) error {
	d, p := direct.figures(), proxied.figures()
	if format == "json" {
		return json.NewEncoder(os.Stdout).Encode([]figures{d, p})
	}
	fmt.Printf("%-8s  %12s  %12s\n", "", "queries/s", "one query")
	for _, f := range []figures{d, p} {
		fmt.Printf("%-8s  %12.0f  %12s\n", f.Name, f.Rate, f.Latency.Round(time.Microsecond))
	}
	longer := p.Latency - d.Latency
	fmt.Printf("\nratio %.2f, %s longer\n", p.Rate/d.Rate, longer.Round(time.Microsecond))
	fmt.Printf("target %d queries/s: %s; target %s longer: %s\n", leastRate, met(p.Rate >= leastRate), mostLonger, met(longer <= mostLonger))
	return nil
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}
