package lab

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestUnchangedObjectsAreKept(t *testing.T) {
	old, now := load(t, world+policies), load(t, strings.Replace(world, "{app: front}", "{app: changed}", 1)+policies+deny)
	kept, keptPolicies := keepSame(old.Snapshot, now.Snapshot), keepSamePolicies(old.Policies, now.Policies)
	for name, pod := range kept.Pods {
		if (pod == old.Snapshot.Pods[name]) == (name.String() == "shop/front") {
			t.Errorf("pod %s: kept %v", name, pod == old.Snapshot.Pods[name])
		}
	}
	if len(keptPolicies.Policies) != 3 {
		t.Errorf("%d policies", len(keptPolicies.Policies))
	}
	for ref, p := range old.Policies.Policies {
		if keptPolicies.Policies[ref] != p {
			t.Errorf("policy %s was not kept", ref)
		}
	}
}

func TestApplyAfterAFailedApply(t *testing.T) {
	l := start(t, Config{}, world)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := load(t, world+policies)
	if err := l.Apply(ctx, b.Snapshot, b.Policies); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	apply(t, l, world+policies)
	agrees(t, l)
}

func TestPortsOfNodes(t *testing.T) {
	s := cluster.NewSnapshot()
	add := func(name, node string, host bool, numbers ...uint16) {
		pod := &cluster.Pod{Name: cluster.Name{Namespace: "x", Name: name}, Node: node, HostNetwork: host}
		for _, n := range numbers {
			pod.Ports = append(pod.Ports, cluster.Port{Protocol: traffic.TCP, Number: n})
		}
		s.Pods[pod.Name] = pod
	}
	add("a", "n1", true, 80, 22)
	add("b", "n1", true, 80)
	add("c", "n2", true, 81)
	add("d", "n1", false, 82)
	desired, taken := nodePorts(s, "n1")
	want := map[port]answerer{
		{traffic.TCP, 22}: {"x/a", greets}, {traffic.TCP, 80}: {"x/a", greets}, {traffic.TCP, 10250}: {"node/n1", greets},
	}
	for at, by := range want {
		if desired[at] != by {
			t.Errorf("%s: %v, want %v", at, desired[at], by)
		}
	}
	if len(desired) != len(want) {
		t.Errorf("got %v", desired)
	}
	if !slices.Equal(taken, []string{"TCP 80 of x/b answers as x/a: both are on the network of n1"}) {
		t.Errorf("taken: %q", taken)
	}
}

func TestSCTPPortsAreNoted(t *testing.T) {
	l := start(t, Config{}, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i, ports: [{containerPort: 7, protocol: SCTP}]}]}}\n---\n"+
		"{apiVersion: v1, kind: Pod, metadata: {name: q}, spec: {containers: [{name: c, image: i}]}}")
	if noted := slices.Contains(l.View().Notes, NoSCTP); noted == hasSCTP() {
		t.Errorf("noted %v, the kernel has it: %v", noted, hasSCTP())
	}
	measured, _ := measure(t, l)
	for _, m := range measured {
		if (m.Verdict() != nil) != hasSCTP() || !hasSCTP() && !errors.Is(m.Err, ErrNotMeasured) {
			t.Errorf("%s: %s, %v", m.Connection, m.Outcome, m.Err)
		}
	}
}
