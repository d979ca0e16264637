package conntrack

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// BenchmarkRevoke ends connections among 10,000 that are tracked: the metric is
// the time from the call until the label of the last one is gone.
func BenchmarkRevoke(b *testing.B) {
	const tracked = 10000
	for _, denied := range []int{100, tracked} {
		b.Run(fmt.Sprintf("tracked=%d/denied=%d", tracked, denied), func(b *testing.B) {
			n := newNode(b, network.Routed)
			var rows []string
			for port := 1; port <= tracked/100; port++ {
				rows = append(rows, fmt.Sprintf("a egress c UDP %d", port))
			}
			n.become(n.Isolated(b, rows...))
			next := n.Isolated(b, rows...)
			left := denied
			for row := range next.Classes[1].Rows {
				if left > 0 {
					delete(next.Classes[1].Rows, row)
					left -= 100
				}
			}
			diff := plan.Compare(n.plan, next)
			index := plan.NewIndex(next)
			for b.Loop() {
				b.StopTimer()
				n.open(b, tracked)
				b.StartTimer()
				start := time.Now()
				count, err := n.table.Revoke(context.Background(), next, index, index.Scope(diff))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms")
				b.ReportMetric(float64(count.Cut), "cut")
			}
		})
	}
}

// open makes connections from a to c, from 100 source ports to as many ports as
// it takes.
func (n *node) open(b *testing.B, connections int) {
	err := n.Place("a").Do(func() error {
		for source := range 100 {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 20000 + source})
			if err != nil {
				return err
			}
			for port := 1; port <= connections/100; port++ {
				if _, err := conn.WriteToUDP(nil, &net.UDPAddr{IP: n.V4("c").AsSlice(), Port: port}); err != nil {
					return err
				}
			}
			conn.Close()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
