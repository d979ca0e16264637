package agent

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/printer"
)

// Hold is what an agent does with addresses of its node's pods that it does not
// know whose they are: a pod sends and is sent to before its address is in the
// API. The zero value shuts them off until then.
type Hold struct {
	// Off lets them through.
	Off bool
	// PodCIDRs are the addresses that the node gives to its pods; none: those
	// that its Node object names.
	PodCIDRs []netip.Prefix
	// Routes tells, until the context ends, which addresses the node leads to
	// its pods, for nodes where nobody names ranges. Nil: nobody looks.
	Routes func(ctx context.Context, tell func([]netip.Prefix)) error
}

// holding is what is held.
type holding struct {
	mu       sync.Mutex
	prefixes []netip.Prefix
	from     string         // who named them
	routed   []netip.Prefix // with a route to a pod's link; Agent.mu
	packets  sum
}

// HeldStatus is where pods that are not known yet are shut off.
type HeldStatus struct {
	// Ranges are their addresses; none: they are let through.
	Ranges []netip.Prefix `json:"ranges,omitempty"`
	// Routed: instead of ranges it is the addresses that have a route to a pod's
	// link, as soon as they have it.
	Routed bool `json:"routed,omitempty"`
	// From is who named the ranges, or why there are none.
	From string `json:"from"`
	// Packets were stopped because of it.
	Packets uint64 `json:"packets"`
}

// hold tells the engine what to hold, as of this node's object. The caller has
// the lock.
func (a *Agent) hold() {
	prefixes, from := a.toHold(a.known.own)
	if from == fromRoutes {
		a.engine.Hold(a.holding.routed)
	} else {
		a.engine.Hold(prefixes)
	}
	switch news := a.holding.set(prefixes, from); {
	case news && from == fromRoutes:
		a.log.Info("pods are shut off until their policies are known", "addresses", "those with a route to a pod's link")
	case news && len(prefixes) > 0:
		a.log.Info("pods are shut off until their policies are known", "ranges", prefixes, "from", from)
	case news:
		a.log.Warn("pods are open until their policies are known", "because", from)
	}
}

func (a *Agent) toHold(n *cluster.Node) (prefixes []netip.Prefix, from string) {
	switch {
	case a.options.Hold.Off:
		return nil, "--hold off"
	case a.audit:
		return nil, "mode audit"
	case len(a.options.Hold.PodCIDRs) > 0:
		return a.options.Hold.PodCIDRs, "--pod-cidr"
	case n != nil && len(n.PodCIDRs) > 0:
		return n.PodCIDRs, "the node's spec.podCIDRs"
	}
	if a.options.Hold.Routes != nil {
		return nil, fromRoutes
	}
	return nil, "the node has no spec.podCIDRs: see --pod-cidr"
}

// fromRoutes is where what is held comes from if nobody names ranges.
const fromRoutes = "routes to pods' links"

// followRoutes keeps what is held to the routes. It is for the engine's life.
func (a *Agent) followRoutes(ctx context.Context) {
	for ctx.Err() == nil {
		err := a.options.Hold.Routes(ctx, func(routed []netip.Prefix) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.holding.routed = routed
			a.hold()
		})
		if ctx.Err() == nil {
			a.log.Error("routes to pods are not followed; pods that start now may be open until their policies are known", "error", err)
		}
		if pause(ctx, a.options.LookAgain, lookWhileRefused) != nil {
			return
		}
	}
}

// set tells whether that is another choice than before.
func (h *holding) set(prefixes []netip.Prefix, from string) (news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	news = from != h.from || !slices.Equal(prefixes, h.prefixes)
	h.prefixes, h.from = prefixes, from
	return news
}

// heldCounting is a dataplane that counts what it held.
type heldCounting interface {
	Held(ctx context.Context) (nft.Denied, error)
}

// readHeld asks the kernel.
func (a *Agent) readHeld() (packets uint64, err error) {
	d, ok := a.options.Dataplane.(heldCounting)
	if !ok {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), countersWait)
	defer cancel()
	now, err := d.Held(ctx)
	if err != nil {
		return 0, err
	}
	return a.holding.packets.count(now), nil
}

func (a *Agent) heldStatus() HeldStatus {
	packets, err := a.readHeld()
	if err != nil {
		a.log.Debug("held packets not read", "error", err)
	}
	a.holding.mu.Lock()
	defer a.holding.mu.Unlock()
	return HeldStatus{Ranges: a.holding.prefixes, Routed: a.holding.from == fromRoutes, From: a.holding.from, Packets: packets}
}

func (s HeldStatus) cell() printer.Cell {
	if s.Routed {
		return plain("a pod with a route to its link is shut off until its policies are known")
	}
	if len(s.Ranges) == 0 {
		return printer.Cell{Text: "a pod is open until its policies are known (" + s.From + ")", Style: printer.Yellow}
	}
	ranges := make([]string, 0, len(s.Ranges))
	for _, p := range s.Ranges {
		ranges = append(ranges, p.String())
	}
	return plain("a pod of " + strings.Join(ranges, ",") + " is shut off until its policies are known")
}

var heldPackets = desc("held_packets_total", "Packets stopped because nobody knew yet which pod of this node has their address.")

// heldCollector reads the count at each scrape.
type heldCollector struct{ agent *Agent }

// Describe is prometheus.Collector.
func (c heldCollector) Describe(out chan<- *prometheus.Desc) { out <- heldPackets }

// Collect is prometheus.Collector.
func (c heldCollector) Collect(out chan<- prometheus.Metric) {
	packets, err := c.agent.readHeld()
	if err != nil {
		out <- prometheus.NewInvalidMetric(heldPackets, err)
		return
	}
	out <- prometheus.MustNewConstMetric(heldPackets, prometheus.CounterValue, float64(packets))
}
