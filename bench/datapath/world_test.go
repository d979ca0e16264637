package main

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/compile"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// The client reaches the server by what the workloads use and by nothing else,
// however many policies there are and wherever they are.
func TestWorlds(t *testing.T) {
	for name, w := range map[string]*gen.World{
		"spread": newWorld(1000, 100), "selected": newSelectedWorld(1000, 100), "as few as can be": newWorld(1000, minPolicies),
		"mixed": newMixedWorld(1000, 100), "a few mixed": newMixedWorld(1000, 10),
	} {
		c := compile.New(node)
		c.SetAll(w.Snapshot, w.Set)
		c.Commit()
		for _, row := range []struct {
			packet plan.Packet
			want   traffic.Verdict
		}{
			{plan.Packet{From: clientAddr, To: serverAddr, Protocol: traffic.TCP, Port: tcpPort}, traffic.Allow},
			{plan.Packet{From: clientAddr, To: serverAddr, Protocol: traffic.UDP, Port: udpPort}, traffic.Allow},
			{plan.Packet{From: clientAddr, To: serverAddr, Protocol: traffic.TCP, Port: udpPort}, traffic.Deny},
			{plan.Packet{From: clientAddr, To: serverAddr, Protocol: traffic.TCP, Port: 10_000}, traffic.Deny},
			{plan.Packet{From: serverAddr, To: clientAddr, Protocol: traffic.TCP, Port: tcpPort}, traffic.Deny},
		} {
			if got := c.Plan().Trace(row.packet); got != row.want {
				t.Errorf("%s: %+v: %s, want %s", name, row.packet, got, row.want)
			}
		}
	}
}

func TestAllPoliciesSelectTheServer(t *testing.T) {
	const policies = 50
	w := newSelectedWorld(1000, policies)
	if len(w.Set.Policies) != policies {
		t.Fatalf("%d policies, want %d", len(w.Set.Policies), policies)
	}
	seen := map[uint16]bool{}
	for ref, p := range w.Set.Policies {
		if p.Subject.Pods != nil && p.Subject.Pods.String() == "app=client" {
			continue
		}
		if p.Subject.Namespace != namespace || p.Subject.Pods != nil && p.Subject.Pods.String() != "app=server" {
			t.Errorf("%s selects %s", ref, p.Subject)
		}
		if len(p.Ingress.Rules) > 0 {
			port := p.Ingress.Rules[0].Ports[0].From
			if seen[port] {
				t.Errorf("port %d twice", port)
			}
			seen[port] = true
		}
	}
	if want := policies - 2; len(seen) != want { // neither the denying one nor the client's
		t.Errorf("%d ports, want %d", len(seen), want)
	}
}

// All policies are there, of every dialect and in every tier, and the ends are
// under some of each.
func TestMixedWorld(t *testing.T) {
	const policies = 400
	w := newMixedWorld(1000, policies)
	if len(w.Set.Policies) != policies {
		t.Fatalf("%d policies, want %d", len(w.Set.Policies), policies)
	}
	dialects, tiers, crossed := map[policy.Dialect]int{}, map[string]int{}, map[policy.Dialect]int{}
	for _, p := range w.Set.Policies {
		dialects[p.Dialect]++
		tiers[p.Tier]++
		if p.Subject.Namespace == namespace {
			crossed[p.Dialect]++
		}
	}
	for _, d := range []policy.Dialect{policy.Kubernetes, policy.ClusterNetwork, policy.Calico, policy.Cilium} {
		if dialects[d] < policies/5 || crossed[d] == 0 {
			t.Errorf("%d policies of %s, %d of them for the ends", dialects[d], d, crossed[d])
		}
	}
	for _, tier := range w.Set.SortedTiers() {
		if tiers[tier.Name] == 0 {
			t.Errorf("no policy in tier %s", tier.Name)
		}
	}
}
