// Package proxytest puts a proxy in front of a pod of package kerneltest's world:
// pod a, on the first node, is under rules that have its connections inspected.
package proxytest

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// NewWorld makes a world and the sockets of a proxy on its first node. Both end
// with the test.
func NewWorld(t testing.TB) (*kerneltest.World, transparent.Sockets) {
	t.Helper()
	w := kerneltest.NewWorld(t, network.Routed)
	sockets := transparent.Sockets{Divert: 1 << 13, Own: 1 << 12, Inside: w.Place(kerneltest.NodeOne).Do}
	if err := sockets.Route(); err != nil {
		t.Fatal(err)
	}
	return w, sockets
}

// Enforce has what pod a sends to these ports inspected by proxies at these; what
// is not inspected is denied.
func Enforce(t testing.TB, w *kerneltest.World, s transparent.Sockets, ports nft.Proxy, rows map[plan.Row]traffic.Verdict) {
	t.Helper()
	ports.Divert, ports.Own = s.Divert, s.Own
	tables, err := nft.New(nft.Options{NetNS: w.Place(kerneltest.NodeOne).FD(), ResetTCP: true, Proxy: ports})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	p := plan.New(kerneltest.NodeOne)
	p.Classes[1] = &plan.Class{Direction: traffic.Egress, Policies: []string{"x/a"}, Rows: rows}
	for _, addr := range w.Both("a") {
		p.Local[addr] = plan.Local{Egress: 1}
	}
	if err := tables.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// To is a row for a port of everybody.
func To(protocol traffic.Protocol, port uint16) plan.Row {
	return plan.Row{AnyPeer: true, Protocol: protocol, From: port, To: port}
}
