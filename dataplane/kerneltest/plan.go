package kerneltest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// peerOf is the group of each place in the plans of Isolated.
var peerOf = map[string]plan.PeerID{"a": 1, "b": 2, "c": 3, Outside: 4, NodeOne: 5, NodeTwo: 6}

// Isolated is a plan of node one in which pods a and b may do nothing but what rows allow.
// Each row is "pod direction peer protocol port", such as "a egress b TCP 8080".
func (w *World) Isolated(t testing.TB, rows ...string) *plan.Plan {
	t.Helper()
	p := plan.New(NodeOne)
	for place, id := range peerOf {
		p.Peers[id] = []string{place}
		for _, addr := range w.Both(place) {
			p.Addrs[addr] = id
		}
	}
	classes := map[string]plan.ClassID{"a egress": 1, "a ingress": 2, "b egress": 3, "b ingress": 4}
	for name, id := range classes {
		pod, dir, _ := strings.Cut(name, " ")
		direction := traffic.Egress
		if dir == "ingress" {
			direction = traffic.Ingress
		}
		p.Classes[id] = &plan.Class{Direction: direction, Policies: []string{"x/" + pod}, Rows: map[plan.Row]traffic.Verdict{}}
	}
	for _, addr := range w.Both("a") {
		p.Local[addr] = plan.Local{Egress: 1, Ingress: 2}
	}
	for _, addr := range w.Both("b") {
		p.Local[addr] = plan.Local{Egress: 3, Ingress: 4}
	}
	for _, row := range rows {
		var pod, dir, peer, proto string
		var port uint16
		if _, err := fmt.Sscan(row, &pod, &dir, &peer, &proto, &port); err != nil {
			t.Fatalf("row %q: %v", row, err)
		}
		protocol, err := traffic.ParseProtocol(proto)
		if err != nil {
			t.Fatal(err)
		}
		id, ok := classes[pod+" "+dir]
		if !ok || peerOf[peer] == 0 {
			t.Fatalf("row %q: unknown pod or peer", row)
		}
		p.Classes[id].Rows[plan.Row{Peer: peerOf[peer], Protocol: protocol, From: port, To: port}] = traffic.Allow
	}
	return p
}
