package agent

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/printer"
)

// SourceCheck is whether pods can send from addresses that are not theirs.
type SourceCheck struct {
	// Off: they can.
	Off bool `json:"off,omitempty"`
	// Bridges are those whose ports, pods of this node, can use each other's
	// addresses.
	Bridges []string `json:"bridges,omitempty"`
	// Packets were stopped because of it.
	Packets uint64 `json:"packets"`
}

// sourceChecking is a dataplane that checks it.
type sourceChecking interface {
	Sources(ctx context.Context) (nft.Sources, error)
}

// readSources asks the kernel.
func (a *Agent) readSources() (SourceCheck, error) {
	d, ok := a.options.Dataplane.(sourceChecking)
	if !ok {
		return SourceCheck{Off: true}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), countersWait)
	defer cancel()
	now, err := d.Sources(ctx)
	return SourceCheck{Off: a.options.AnySource, Bridges: now.Bridges, Packets: a.spoofed.count(now.Spoofed)}, err
}

func (a *Agent) sourceStatus() SourceCheck {
	s, err := a.readSources()
	if err != nil {
		a.log.Debug("spoofed packets not read", "error", err)
	}
	return s
}

func (s SourceCheck) cell() printer.Cell {
	switch {
	case s.Off:
		return printer.Cell{Text: "a pod can send from any address", Style: printer.Yellow}
	case len(s.Bridges) > 0:
		return plain("a pod on bridge " + strings.Join(s.Bridges, ", ") + " can send from addresses of this node's pods alone")
	}
	return plain("a pod can send from its own address alone")
}

var spoofedPackets = desc("spoofed_packets_total", "Packets of pods stopped because they came from an address that is not the pod's.")

// spoofedCollector reads the count at each scrape.
type spoofedCollector struct{ agent *Agent }

// Describe is prometheus.Collector.
func (c spoofedCollector) Describe(out chan<- *prometheus.Desc) { out <- spoofedPackets }

// Collect is prometheus.Collector.
func (c spoofedCollector) Collect(out chan<- prometheus.Metric) {
	s, err := c.agent.readSources()
	if err != nil {
		out <- prometheus.NewInvalidMetric(spoofedPackets, err)
		return
	}
	out <- prometheus.MustNewConstMetric(spoofedPackets, prometheus.CounterValue, float64(s.Packets))
}
