package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

func deployment(name string, replicas int) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s}\nspec: {replicas: %d, template: {metadata: {labels: {app: %s}}}}\n", name, replicas, name)
}

func documents(texts ...string) string { return strings.Join(texts, "---\n") }

// town is a cluster of many workloads.
func town(workloads int) []string {
	var all []string
	for i := range workloads {
		all = append(all, deployment(fmt.Sprintf("w%02d", i), 1+i%4))
	}
	return all
}

func TestOrderOfTheInputDoesNotMatter(t *testing.T) {
	objects := append(town(20), "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: NodePort, ports: [{port: 80}]}\n", fmt.Sprintf(policyYAML, "p"))
	want := mustLoad(t, map[string]string{"a.yaml": documents(objects...)}, Options{Nodes: 3}, ".")
	slices.Reverse(objects)
	got := mustLoad(t, map[string]string{"a.yaml": documents(objects...)}, Options{Nodes: 3}, ".")
	if !reflect.DeepEqual(got.Snapshot, want.Snapshot) {
		t.Error(diff(describe(want), describe(got)))
	}
}

// moved counts the pods of a that have other addresses in b.
func moved(a, b *Bundle) int {
	n := 0
	for name, pod := range a.Snapshot.Pods {
		if other := b.Snapshot.Pods[name]; other == nil || !slices.Equal(pod.Addrs, other.Addrs) {
			n++
		}
	}
	return n
}

func TestOneMoreObjectMovesFew(t *testing.T) {
	objects := town(40)
	before := mustLoad(t, map[string]string{"a.yaml": documents(objects...)}, Options{Nodes: 4}, ".")
	worst := 0
	for i := range 10 {
		more := append(slices.Clone(objects), deployment(fmt.Sprintf("new-%d", i), 1))
		after := mustLoad(t, map[string]string{"a.yaml": documents(more...)}, Options{Nodes: 4}, ".")
		worst = max(worst, moved(before, after))
	}
	if total := len(before.Snapshot.Pods); worst > total/3 {
		t.Errorf("%d of %d pods moved", worst, total)
	}
	for name, more := range map[string]string{
		"service": "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n",
		"policy":  fmt.Sprintf(policyYAML, "p"), "namespace": "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
	} {
		after := mustLoad(t, map[string]string{"a.yaml": documents(append(objects, more)...)}, Options{Nodes: 4}, ".")
		if n := moved(before, after); n != 0 {
			t.Errorf("a new %s moved %d pods", name, n)
		}
	}
}

func TestPodsAreSpread(t *testing.T) {
	b := mustLoad(t, map[string]string{"a.yaml": documents(town(40)...)}, Options{Nodes: 5}, ".")
	load := map[string]int{}
	for _, pod := range b.Snapshot.Pods {
		load[pod.Node]++
	}
	least, most := slices.Min(slices.Collect(maps.Values(load))), slices.Max(slices.Collect(maps.Values(load)))
	if len(load) != 5 || most-least > len(b.Snapshot.Pods)/10 {
		t.Errorf("pods of nodes: %v", load)
	}
	for _, pod := range b.Snapshot.Find("default", "w03") {
		load["w03 "+pod.Node]++
		if load["w03 "+pod.Node] > 1 {
			t.Errorf("two of four replicas on %s", pod.Node)
		}
	}
}

// With the cluster to keep, nothing moves at all.
func TestKeep(t *testing.T) {
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {type: NodePort, ports: [{port: 80}]}\n"
	objects := append(town(30), fmt.Sprintf(service, 1))
	before := mustLoad(t, map[string]string{"a.yaml": documents(objects...)}, Options{Nodes: 3}, ".")
	// What is read first would otherwise take the place of others.
	more := append([]string{deployment("a", 30), fmt.Sprintf(service, 2)}, objects[:20]...)
	more = append(more, objects[30])
	after := mustLoad(t, map[string]string{"a.yaml": documents(more...)}, Options{Nodes: 4, Keep: before.Snapshot}, ".")
	kept := 0
	for name, pod := range before.Snapshot.Pods {
		if now := after.Snapshot.Pods[name]; now != nil {
			kept++
			if now.Node != pod.Node || !slices.Equal(now.Addrs, pod.Addrs) {
				t.Errorf("pod %s moved from %s %v to %s %v", name, pod.Node, pod.Addrs, now.Node, now.Addrs)
			}
		}
	}
	if kept != 50 || len(after.Snapshot.Pods) != 80 {
		t.Errorf("%d pods kept of %d", kept, len(after.Snapshot.Pods))
	}
	s1 := cluster.Name{Namespace: "default", Name: "s1"}
	if !reflect.DeepEqual(before.Snapshot.Services[s1], after.Snapshot.Services[s1]) {
		t.Errorf("service changed from %+v to %+v", before.Snapshot.Services[s1], after.Snapshot.Services[s1])
	}
	for name, node := range before.Snapshot.Nodes {
		if !reflect.DeepEqual(node, after.Snapshot.Nodes[name]) {
			t.Errorf("node changed from %+v to %+v", node, after.Snapshot.Nodes[name])
		}
	}
	checkInvariants(t, after)
}

// What is new does not get what is kept, though it is read first and its name
// points there.
func TestKeepComesFirst(t *testing.T) {
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {type: NodePort, ports: [{port: 80}]}\n"
	text := func(names ...string) map[string]string {
		var all []string
		for _, name := range names {
			all = append(all, pod(name), fmt.Sprintf(service, name))
		}
		return map[string]string{"a.yaml": documents(all...)}
	}
	a, z := cluster.Name{Namespace: "default", Name: "a"}, cluster.Name{Namespace: "default", Name: "z"}
	alone := mustLoad(t, text("a"), Options{}, ".").Snapshot
	keep := cluster.NewSnapshot()
	keep.Nodes = alone.Nodes
	pod, kept := *alone.Pods[a], *alone.Services[a]
	pod.Name, kept.Name = z, z
	keep.Pods[z], keep.Services[z] = &pod, &kept

	both := mustLoad(t, text("a", "z"), Options{Keep: keep}, ".")
	if got := both.Snapshot.Pods[z].Addrs; !slices.Equal(got, pod.Addrs) {
		t.Errorf("pod z has %v, had %v", got, pod.Addrs)
	}
	if got := both.Snapshot.Services[z]; !reflect.DeepEqual(got, &kept) {
		t.Errorf("service z is %+v, was %+v", got, kept)
	}
	if got := both.Snapshot.Services[a].Ports[0].NodePort; got == kept.Ports[0].NodePort || got == 0 {
		t.Errorf("service a has node port %d", got)
	}
	checkInvariants(t, both)
}

// The input's word is more than what was before.
func TestKeepGivesWay(t *testing.T) {
	before := mustLoad(t, map[string]string{"a.yaml": documents(pod("a"), pod("b"))}, Options{Nodes: 2, Families: IPv4}, ".")
	taken := before.Snapshot.Pods[cluster.Name{Namespace: "default", Name: "a"}].Addrs[0]
	after := mustLoad(t, map[string]string{"a.yaml": documents(pod("a"),
		pod("b")+"spec: {nodeName: node-2}\nstatus: {podIP: "+taken.String()+"}\n")}, Options{Nodes: 2, Families: IPv4, Keep: before.Snapshot}, ".")
	b := after.Snapshot.Pods[cluster.Name{Namespace: "default", Name: "b"}]
	if b.Node != "node-2" || b.Addrs[0] != taken {
		t.Errorf("b is on %s at %v", b.Node, b.Addrs)
	}
	checkInvariants(t, after)
}

const policyFor6 = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: everybody}
spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: "::/0"}}]}]}
`

func TestFamilies(t *testing.T) {
	node := "apiVersion: v1\nkind: Node\nmetadata: {name: node}\nspec: {podCIDR: %q}\n"
	for _, row := range []struct {
		name, text string
		families   Families
		want       string // families of pod a
	}{
		{"nothing stated", pod("a"), AutoFamilies, "4"},
		{"as a policy's block", documents(pod("a"), policyFor6), AutoFamilies, "4 6"},
		{"as a node's address", documents(pod("a"), "apiVersion: v1\nkind: Node\nmetadata: {name: node}\nstatus: {addresses: [{type: InternalIP, address: \"fd00:9::1\"}]}\n"), AutoFamilies, "4 6"},
		{"as asked, 4", pod("a"), IPv4, "4"},
		{"as asked, 6", pod("a"), IPv6, "6"},
		{"as asked, both", documents(pod("a"), fmt.Sprintf(node, "10.7.0.0/24")), DualStack, "4 6"},
		{"as the nodes, 4", documents(pod("a"), fmt.Sprintf(node, "10.7.0.0/24")), AutoFamilies, "4"},
		{"as the nodes, 6", documents(pod("a"), fmt.Sprintf(node, "fd00:7::/64")), AutoFamilies, "6"},
		{"as other pods", documents(pod("a"), pod("b")+"status: {podIP: \"fd00:8::1\"}\n", fmt.Sprintf(node, "10.7.0.0/24")), AutoFamilies, "6"},
		{"one's own are not completed", pod("a") + "status: {podIP: 10.1.2.3}\n", DualStack, "4"},
	} {
		b := mustLoad(t, map[string]string{"a.yaml": row.text}, Options{Families: row.families}, ".")
		var got []string
		for _, addr := range b.Snapshot.Pods[cluster.Name{Namespace: "default", Name: "a"}].Addrs {
			got = append(got, map[bool]string{true: "4", false: "6"}[addr.Is4()])
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%s: families %v, want %s", row.name, got, row.want)
		}
	}
}

func TestNodesOption(t *testing.T) {
	for _, row := range []struct {
		nodes int
		text  string
		want  string
	}{
		{0, pod("a"), "node-1"},
		{3, pod("a"), "node-1 node-2 node-3"},
		{0, pod("a") + "spec: {nodeName: x}\n", "x"},
		{2, pod("a") + "spec: {nodeName: x}\n", "node-1 node-2 x"},
		{3, documents(pod("a"), "apiVersion: v1\nkind: Node\nmetadata: {name: real}\n"), "real"},
		{-1, pod("a"), "-1 nodes: use 1 to 3000"},
		{3001, pod("a"), "3001 nodes: use 1 to 3000"},
	} {
		b, err := load(t, map[string]string{"a.yaml": row.text}, Options{Nodes: row.nodes}, ".")
		got := fmt.Sprint(err)
		if err == nil {
			got = strings.Join(sortedKeys(b.Snapshot.Nodes), " ")
		}
		if got != row.want {
			t.Errorf("%d nodes: got %s, want %s", row.nodes, got, row.want)
		}
	}
}

func TestManyPodsOnOneNode(t *testing.T) {
	b := mustLoad(t, map[string]string{"a.yaml": deployment("a", 1000)}, Options{Families: DualStack}, ".")
	if node := b.Snapshot.Nodes["node-1"]; len(node.PodCIDRs) != 5 {
		t.Errorf("ranges %v, want four of IPv4 and one of IPv6", node.PodCIDRs)
	}
	checkInvariants(t, b)
}

func TestMaxNodes(t *testing.T) {
	b := mustLoad(t, map[string]string{"a.yaml": deployment("a", MaxNodes)}, Options{Nodes: MaxNodes}, ".")
	if len(b.Snapshot.Nodes) != MaxNodes {
		t.Errorf("%d nodes", len(b.Snapshot.Nodes))
	}
	checkInvariants(t, b)
}

func TestReplaceAndWithout(t *testing.T) {
	files := map[string]string{
		"a.yaml": documents(deployment("web", 2), pod("x"), fmt.Sprintf(policyYAML, "p")),
		"b.yaml": documents(deployment("web", 1), pod("z")),
	}
	for _, row := range []struct {
		name string
		opts Options
		want string
	}{
		{"replace", Options{Replace: true}, "web x z"},
		{"without", Options{Replace: true, Without: []Object{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web"}, {APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "x"}}}, "z"},
		{"without what is not there", Options{Replace: true, Without: []Object{{APIVersion: "v1", Kind: "Pod", Namespace: "other", Name: "x"}}}, "web x z"},
	} {
		b := mustLoad(t, files, row.opts, "a.yaml", "b.yaml")
		if got := pods(b); got != row.want {
			t.Errorf("%s: pods %s, want %s", row.name, got, row.want)
		}
		if len(b.Policies.Policies) != 1 {
			t.Errorf("%s: policies %v", row.name, b.Policies.Policies)
		}
	}
	if _, err := load(t, files, Options{}, "a.yaml", "b.yaml"); err == nil {
		t.Error("replaced without being asked")
	}
	twice := map[string]string{"a.yaml": documents(pod("x"), pod("x"))}
	if _, err := load(t, twice, Options{Replace: true}, "a.yaml"); err == nil {
		t.Error("two of one name in the same file are a mistake all the same")
	}
}

func TestDefaults(t *testing.T) {
	defaults := []byte(documents(pod("dns"), pod("a")+"spec: {hostNetwork: true}\n"))
	b := mustLoad(t, map[string]string{"a.yaml": pod("a")}, Options{Defaults: defaults}, ".")
	if got := pods(b); got != "a dns" {
		t.Errorf("pods %s", got)
	}
	if b.Snapshot.Pods[cluster.Name{Namespace: "default", Name: "a"}].HostNetwork {
		t.Error("a default came before the input")
	}
	_, err := load(t, map[string]string{"a.yaml": pod("a")}, Options{Defaults: []byte("a: [")}, ".")
	if err == nil || err.Error() != "built-in defaults:1: broken YAML: did not find expected node content" {
		t.Errorf("got %v", err)
	}
	if _, err := load(t, map[string]string{"a.yaml": "# nothing"}, Options{Defaults: defaults}, "."); err == nil {
		t.Error("defaults alone are no input")
	}
}

// What Write writes is the same cluster again.
func TestWrite(t *testing.T) {
	stories := []string{"web-shop", "workloads", "dump", "nodes", "services", "cluster-policies", "calico", "calico-services"}
	for _, story := range stories {
		dir := unpack(t, "testdata/"+story+".txtar")
		before, err := Load([]string{dir}, Options{Nodes: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var written bytes.Buffer
		if err := before.Write(&written); err != nil {
			t.Fatal(err)
		}
		after, err := Load([]string{"-"}, Options{Nodes: 2, Keep: before.Snapshot}, bytes.NewReader(written.Bytes()))
		if err != nil {
			t.Fatalf("%s: %v\n%s", story, err, written.String())
		}
		if !reflect.DeepEqual(after.Snapshot, before.Snapshot) {
			t.Errorf("%s: %s", story, diff(describe(before), describe(after)))
		}
		for ref, p := range before.Policies.Policies {
			if again := after.Policies.Policies[ref]; again == nil || again.Text() != p.Text() {
				t.Errorf("%s: policy %s became %v", story, ref, again)
			}
		}
		for ref, n := range before.Policies.Networks {
			if again := after.Policies.Networks[ref]; again == nil || !slices.Equal(again.Prefixes, n.Prefixes) || !maps.Equal(again.Labels, n.Labels) {
				t.Errorf("%s: networks %s became %v", story, ref, again)
			}
		}
		if len(after.Policies.Staged) != len(before.Policies.Staged) || !maps.Equal(after.Policies.Tiers, before.Policies.Tiers) {
			t.Errorf("%s: %d staged and tiers %v became %d and %v", story, len(before.Policies.Staged), before.Policies.Tiers, len(after.Policies.Staged), after.Policies.Tiers)
		}
	}
}

func TestSkippedPolicies(t *testing.T) {
	for kind, want := range map[string]bool{
		"NetworkPolicy": true, "GlobalNetworkPolicy": true, "CiliumClusterwideNetworkPolicy": true, "AdminNetworkPolicy": true, "ConfigMap": false, "NetworkSet": false,
	} {
		if got := (Skipped{Kind: kind}).IsPolicy(); got != want {
			t.Errorf("%s: %v", kind, got)
		}
	}
}

// checkInvariants checks what everybody who uses a bundle builds on.
func checkInvariants(t *testing.T, b *Bundle) {
	t.Helper()
	owners := map[netip.Addr]string{}
	claim := func(owner string, addrs []netip.Addr) {
		for _, addr := range addrs {
			if !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
				t.Errorf("%s has the address %v", owner, addr)
			}
			if other, ok := owners[addr]; ok {
				t.Errorf("%s and %s have the address %s", owner, other, addr)
			}
			owners[addr] = owner
		}
	}
	checkNodes(t, b.Snapshot, claim)
	for name, pod := range b.Snapshot.Pods {
		node := b.Snapshot.Nodes[pod.Node]
		switch {
		case pod.Name != name, node == nil, len(pod.Addrs) == 0, b.Snapshot.Namespaces[name.Namespace] == nil:
			t.Errorf("pod %s: %+v", name, pod)
		case pod.HostNetwork && !slices.Equal(pod.Addrs, node.Addrs):
			t.Errorf("pod %s has %v, its node %v", name, pod.Addrs, node.Addrs)
		case !pod.HostNetwork:
			claim("pod "+name.String(), pod.Addrs)
		}
	}
	for name, s := range b.Snapshot.Services {
		claim("service "+name.String(), s.ClusterIPs)
		if b.Snapshot.Namespaces[name.Namespace] == nil {
			t.Errorf("service %s is in no namespace", name)
		}
	}
	for ref, p := range b.Policies.Policies {
		if ref != p.Ref || ref.Namespace != "" && b.Snapshot.Namespaces[ref.Namespace] == nil || p.Source.Line == 0 || b.Policies.Tiers[p.Tier].Name == "" {
			t.Errorf("policy %s: %+v", ref, p)
		}
	}
}

func checkNodes(t *testing.T, s *cluster.Snapshot, claim func(string, []netip.Addr)) {
	t.Helper()
	ranges := map[netip.Prefix]string{}
	for name, node := range s.Nodes {
		claim("node "+name, node.Addrs)
		if len(node.Addrs) == 0 || node.Name != name {
			t.Errorf("node %s: %+v", name, node)
		}
		for _, r := range node.PodCIDRs {
			if other, ok := ranges[r]; ok {
				t.Errorf("nodes %s and %s have the range %s", name, other, r)
			}
			ranges[r] = name
		}
	}
	sorted := slices.SortedFunc(maps.Keys(ranges), netip.Prefix.Compare)
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Overlaps(sorted[i]) && ranges[sorted[i-1]] != ranges[sorted[i]] {
			t.Errorf("ranges %s and %s overlap", sorted[i-1], sorted[i])
		}
	}
	for name, ns := range s.Namespaces {
		if ns.Name != name || ns.Labels[cluster.NamespaceNameLabel] != name {
			t.Errorf("namespace %s: %+v", name, ns)
		}
	}
}
