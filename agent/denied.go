package agent

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// counting is a dataplane that counts what it denies.
type counting interface {
	Denied(ctx context.Context) (map[plan.ClassID]nft.Denied, error)
}

// deniedCounts adds up what classes denied. A class's counter goes with the
// class, and a sum must never fall.
type deniedCounts struct {
	dataplane counting // nil: it does not count

	mu      sync.Mutex
	classes map[plan.ClassID]deniedBy
	last    map[plan.ClassID]nft.Denied
	packets map[deniedBy]uint64
	bytes   map[deniedBy]uint64
}

// deniedBy is who denied: few enough for one series each.
type deniedBy struct {
	direction traffic.Direction
	namespace string // of the policies; empty: cluster-wide ones, or of several
	mode      string
}

func newDeniedCounts(d dataplane.Dataplane) *deniedCounts {
	c, _ := d.(counting)
	return &deniedCounts{
		dataplane: c, classes: map[plan.ClassID]deniedBy{}, last: map[plan.ClassID]nft.Denied{},
		packets: map[deniedBy]uint64{}, bytes: map[deniedBy]uint64{},
	}
}

// know remembers whose class this is.
func (c *deniedCounts) know(id plan.ClassID, class *plan.Class) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.classes[id] = deniedBy{class.Direction, namespaceOf(class.Policies), modeOf(class.Audit)}
}

// forget is for a class that is out of the kernel.
func (c *deniedCounts) forget(id plan.ClassID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.classes, id)
	delete(c.last, id)
}

// namespaceOf is that of all the policies, if they have one.
func namespaceOf(policies []string) string {
	var namespace string
	for i, p := range policies {
		ns, _, ok := strings.Cut(p, "/")
		if !ok || i > 0 && ns != namespace {
			return ""
		}
		namespace = ns
	}
	return namespace
}

// add takes the kernel's counters in. One that is lower than it was began anew.
func (c *deniedCounts) add(now map[plan.ClassID]nft.Denied) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range now {
		by, known := c.classes[id]
		if !known {
			continue
		}
		before := c.last[id]
		if n.Packets < before.Packets {
			before = nft.Denied{}
		}
		c.packets[by] += n.Packets - before.Packets
		c.bytes[by] += n.Bytes - before.Bytes
	}
	c.last = now
}

// read asks the kernel.
func (c *deniedCounts) read(ctx context.Context) error {
	if c.dataplane == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countersWait)
	defer cancel()
	now, err := c.dataplane.Denied(ctx)
	if err == nil {
		c.add(now)
	}
	return err
}

var (
	deniedLabels  = []string{"direction", "namespace", "mode"}
	deniedPackets = desc("denied_packets_total", "Packets that policies denied, or would have denied in mode audit.", deniedLabels...)
	deniedBytes   = desc("denied_bytes_total", "Bytes of the denied packets.", deniedLabels...)
)

// Describe is prometheus.Collector.
func (c *deniedCounts) Describe(out chan<- *prometheus.Desc) {
	out <- deniedPackets
	out <- deniedBytes
}

// countersWait is how long to wait for the kernel's counters.
const countersWait = 5 * time.Second

// Collect is prometheus.Collector.
func (c *deniedCounts) Collect(out chan<- prometheus.Metric) {
	if err := c.read(context.Background()); err != nil {
		out <- prometheus.NewInvalidMetric(deniedPackets, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for by, n := range c.packets {
		labels := []string{by.direction.String(), by.namespace, by.mode}
		out <- prometheus.MustNewConstMetric(deniedPackets, prometheus.CounterValue, float64(n), labels...)
		out <- prometheus.MustNewConstMetric(deniedBytes, prometheus.CounterValue, float64(c.bytes[by]), labels...)
	}
	c.prune()
}

// prune drops the series that no class can add to: namespaces come and go. They
// have been read once with their last value.
func (c *deniedCounts) prune() {
	live := map[deniedBy]bool{}
	for _, by := range c.classes {
		live[by] = true
	}
	for by := range c.packets {
		if !live[by] {
			delete(c.packets, by)
			delete(c.bytes, by)
		}
	}
}
