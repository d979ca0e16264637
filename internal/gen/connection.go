package gen

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// outside are addresses that nobody in the cluster has; some are in blocks that
// policies name.
var outside = []string{
	"203.0.113.1", "203.0.113.5", "203.0.113.99", "198.51.100.1", "169.254.169.254", "10.0.0.250", "10.9.9.9",
	"2001:db8::1", "2001:db8::9", "2001:db8:1::1", "fd00::ffff", "fe80::1",
}

// pods are the world's pods by name.
func (w *World) pods() []*cluster.Pod {
	pods := slices.Collect(maps.Values(w.Snapshot.Pods))
	slices.SortFunc(pods, func(a, b *cluster.Pod) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return pods
}

// Endpoints are all ends that connections can have: every address of every pod
// and node, and some outside.
func (w *World) Endpoints() []verdict.Endpoint {
	var all []verdict.Endpoint
	for _, p := range w.pods() {
		for _, addr := range p.Addrs {
			all = append(all, verdict.Endpoint{Addr: addr, Pod: p})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Snapshot.Nodes)) {
		for _, addr := range w.Snapshot.Nodes[name].Addrs {
			all = append(all, verdict.Endpoint{Addr: addr, Node: name})
		}
	}
	for _, addr := range outside {
		all = append(all, verdict.Endpoint{Addr: netip.MustParseAddr(addr)})
	}
	return all
}

// Connections are n connections between endpoints of one family, most of them
// with a pod at one end. There are none without endpoints.
func Connections(r *rand.Rand, endpoints []verdict.Endpoint, n int) []verdict.Connection {
	var found []verdict.Connection
	for len(found) < n && len(endpoints) > 0 {
		from, to := endpoints[r.IntN(len(endpoints))], endpoints[r.IntN(len(endpoints))]
		if from.Addr.BitLen() != to.Addr.BitLen() {
			continue
		}
		if from.NetworkPod() == nil && to.NetworkPod() == nil && r.IntN(10) > 0 {
			continue
		}
		c := verdict.Connection{From: from, To: to, Protocol: protocols[r.IntN(len(protocols))]}
		switch {
		case c.Protocol.HasPorts():
			c.Port = port(r)
		case c.Protocol.HasTypes():
			c.Port = traffic.ICMPPort(icmpTypes[r.IntN(len(icmpTypes))], uint8(r.IntN(3)))
		}
		found = append(found, c)
	}
	return found
}

var protocols = []traffic.Protocol{
	traffic.TCP, traffic.TCP, traffic.TCP, traffic.TCP, traffic.UDP, traffic.UDP,
	traffic.SCTP, traffic.ICMP, traffic.ICMPv6, 47,
}

var icmpTypes = []uint8{0, 3, 8, 128, 255}

// port is one that policies and pods name, or beside one.
func port(r *rand.Rand) uint16 {
	p := portNumbers[r.IntN(len(portNumbers))]
	switch r.IntN(8) {
	case 0:
		return p + 1
	case 1:
		return p - 1
	case 2:
		return uint16(r.UintN(65536))
	}
	return p
}
