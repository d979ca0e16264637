package main

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// The chains of the client's and the server's policies, as they are loaded.
func TestLinear(t *testing.T) {
	l := &linear{world: newWorld(1000, minPolicies), byNS: map[string][]*cluster.Pod{}, sets: map[string]string{}}
	for _, pod := range l.world.Snapshot.Pods {
		l.byNS[pod.Namespace] = append(l.byNS[pod.Namespace], pod)
	}
	const chains = 4 // egress of two policies, ingress of two
	if n := l.write(); n != chains {
		t.Errorf("%d chains, want %d", n, chains)
	}
	rules, sets := l.rules.String(), l.ipset.String()
	for _, row := range []struct {
		text, part string
		times      int
	}{
		{rules, "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n", 1},
		{rules, " -j P", chains},
		{rules, "-p tcp --dport 5001:5001 ", 2},
		{rules, "-p udp --dport 5002:5002 ", 2},
		{rules, " -j DROP\n", 2},
		{sets, "add isolated-egress " + clientAddr.String() + "\n", 1},
		{sets, "add isolated-ingress " + serverAddr.String() + "\n", 1},
	} {
		if n := strings.Count(row.text, row.part); n != row.times {
			t.Errorf("%q is there %d times, want %d, in\n%s", row.part, n, row.times, row.text)
		}
	}
	if first, verdict := strings.Index(rules, "ESTABLISHED"), strings.Index(rules, " -j P"); first > verdict {
		t.Errorf("open connections walk the policies:\n%s", rules)
	}
}
