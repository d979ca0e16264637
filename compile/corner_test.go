package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// The tests below have pods 10.0.1.N on node-0 and 10.0.2.N elsewhere.
func podOf(name, app, addr string) *cluster.Pod {
	p := &cluster.Pod{
		Name: cluster.Name{Namespace: "shop", Name: name}, Labels: map[string]string{"app": app}, Node: thisNode,
		Addrs: []netip.Addr{netip.MustParseAddr(addr)},
	}
	if addr[:7] != "10.0.1." {
		p.Node = "elsewhere"
	}
	return p
}

func appIs(app string) policy.Selector {
	return labels.SelectorFromValidatedSet(labels.Set{"app": app})
}

func from(app string) policy.Peer {
	return policy.Peer{Pods: &policy.PodSelector{Namespace: "shop", Pods: appIs(app)}}
}

func blockOf(prefix string, except ...string) policy.Peer {
	c := &policy.CIDR{Prefix: netip.MustParsePrefix(prefix)}
	for _, e := range except {
		c.Except = append(c.Except, netip.MustParsePrefix(e))
	}
	return policy.Peer{CIDR: c}
}

// allowing lets peers in to an app on all ports.
func allowing(name, app string, peers ...policy.Peer) *policy.Policy {
	return &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "shop", Name: name},
		Tier:    policy.NetworkPolicyTier.Name,
		Subject: policy.PodSelector{Namespace: "shop", Pods: appIs(app)},
		Ingress: &policy.Rules{Isolates: true, Rules: []policy.Rule{{Action: policy.Allow, Peers: peers, AnyPort: true}}},
	}
}

// reaches tells whether the plan lets TCP 80 pass.
func reaches(p *plan.Plan, from, to string) bool {
	return p.Trace(plan.Packet{
		From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Protocol: traffic.TCP, Port: 80,
	}) == traffic.Allow
}

func compilerOf(pods []*cluster.Pod, policies ...*policy.Policy) *Compiler {
	c := New(thisNode)
	for _, p := range pods {
		c.SetPod(p)
	}
	for _, p := range policies {
		c.SetPolicy(p)
	}
	c.Commit()
	return c
}

func TestAPolicyOfATierThatDoesNotExistCloses(t *testing.T) {
	p := allowing("db", "db", from("web"))
	p.Tier = "later"
	c := compilerOf([]*cluster.Pod{podOf("db", "db", "10.0.1.1"), podOf("web", "web", "10.0.2.1")}, p)
	if reaches(c.Plan(), "10.0.2.1", "10.0.1.1") {
		t.Error("a policy is forgotten because its tier does not exist")
	}
	c.SetTier(policy.Tier{Name: "later", Order: 1, End: policy.Deny})
	c.Commit()
	if !reaches(c.Plan(), "10.0.2.1", "10.0.1.1") || reaches(c.Plan(), "10.0.2.2", "10.0.1.1") {
		t.Error("the tier is there and does not count")
	}
	c.DeleteTier("later")
	c.Commit()
	if reaches(c.Plan(), "10.0.2.1", "10.0.1.1") {
		t.Error("a policy is forgotten because its tier is gone")
	}
}

// The kubelet may report a pod at an address before another that had it is gone.
func TestAnAddressGoesFromOnePodToTheNext(t *testing.T) {
	web, db := podOf("web", "web", "10.0.2.1"), podOf("db", "db", "10.0.1.1")
	thief := podOf("thief", "thief", "10.0.2.1")
	steps := []struct {
		why    string
		change func(*Compiler)
		want   bool
	}{
		{"web has it", func(*Compiler) {}, true},
		{"both have it", func(c *Compiler) { c.SetPod(thief) }, false},
		{"the other alone has it", func(c *Compiler) { c.DeletePod(web.Name) }, false},
		{"both have it again", func(c *Compiler) { c.SetPod(web) }, false},
		{"web alone has it again", func(c *Compiler) { c.DeletePod(thief.Name) }, true},
		{"nobody has it", func(c *Compiler) { c.DeletePod(web.Name) }, false},
	}
	c := compilerOf([]*cluster.Pod{web, db}, allowing("db", "db", from("web")))
	for _, step := range steps {
		step.change(c)
		c.Commit()
		if got := reaches(c.Plan(), "10.0.2.1", "10.0.1.1"); got != step.want {
			t.Errorf("%s: reaches the database: %v", step.why, got)
		}
	}
}

func TestTwoLocalPodsAtOneAddressAreBothProtected(t *testing.T) {
	pods := []*cluster.Pod{
		podOf("a", "a", "10.0.1.1"), podOf("b", "b", "10.0.1.1"), podOf("web", "web", "10.0.2.1"), podOf("other", "other", "10.0.2.2"),
	}
	c := compilerOf(pods, allowing("a", "a", from("web"), from("other")), allowing("b", "b", from("web")))
	if !reaches(c.Plan(), "10.0.2.1", "10.0.1.1") {
		t.Error("denied what both allow")
	}
	if reaches(c.Plan(), "10.0.2.2", "10.0.1.1") {
		t.Error("allowed what one of them denies")
	}
}

func TestAddressesAreTakenAsPacketsCarryThem(t *testing.T) {
	web := podOf("web", "web", "10.0.2.1")
	web.Addrs = []netip.Addr{netip.MustParseAddr("::ffff:10.0.2.1"), {}, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("10.0.2.1")}
	c := compilerOf([]*cluster.Pod{web, podOf("db", "db", "10.0.1.1")}, allowing("db", "db", from("web")))
	want := []netip.Addr{netip.MustParseAddr("10.0.2.1"), netip.MustParseAddr("fe80::1")}
	got := slices.SortedFunc(maps.Keys(c.Plan().Addrs), netip.Addr.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v", got, want)
	}
}

func rowsOf(p *plan.Plan) int {
	n := 0
	for _, class := range p.Classes {
		n += len(class.Rows)
	}
	return n
}

// Rules for every pod, for a label that most namespaces have and for the whole
// address space are in nearly all classes, and nearly all groups satisfy them.
func TestRowsAreNoProductOfClassesAndGroups(t *testing.T) {
	w := gen.Large(gen.Source(1, 0), 10_000, 2_000, gen.PerNode)
	p := Full(thisNode, w.Snapshot, w.Set)
	product := len(p.Classes) * len(p.Peers)
	if product < 100_000 {
		t.Fatalf("%d classes and %d groups do not try this", len(p.Classes), len(p.Peers))
	}
	if got := rowsOf(p); got > product/20 {
		t.Errorf("%d rows with %d classes and %d groups", got, len(p.Classes), len(p.Peers))
	}
}

func TestTenThousandBlocksOfOneRuleAreOneGroup(t *testing.T) {
	var peers []policy.Peer
	for n := range 10_000 {
		peers = append(peers, blockOf(fmt.Sprintf("%d.%d.%d.0/25", 20+n>>16, n>>8&255, n&255)))
	}
	c := compilerOf([]*cluster.Pod{podOf("db", "db", "10.0.1.1")}, allowing("db", "db", peers...))
	if p := c.Plan(); len(p.Ranges) != 10_000 || len(p.Peers) != 1 || rowsOf(p) != 1 {
		t.Errorf("%d ranges, %d groups, %d rows", len(p.Ranges), len(p.Peers), rowsOf(p))
	}
	c.SetPolicy(allowing("db", "db", peers[1:]...))
	if d := c.Commit(); d.Len() != 1 {
		t.Errorf("one block less changes %d entries", d.Len())
	}
}

func TestTenThousandExceptionsAreOneGroup(t *testing.T) {
	var except []string
	for n := range 10_000 {
		except = append(except, fmt.Sprintf("20.%d.%d.0/25", n>>8&255, n&255))
	}
	c := compilerOf([]*cluster.Pod{podOf("db", "db", "10.0.1.1")}, allowing("db", "db", blockOf("0.0.0.0/0", except...)))
	if p := c.Plan(); len(p.Peers) != 2 || rowsOf(p) != 2 {
		t.Errorf("%d groups, %d rows", len(p.Peers), rowsOf(p))
	}
	if reaches(c.Plan(), "20.1.2.3", "10.0.1.1") || !reaches(c.Plan(), "20.1.2.133", "10.0.1.1") {
		t.Error("the exceptions do not count")
	}
}

// A thousand policies that each cut another hole into the same block: a group
// lists the blocks around it, not the rules that it satisfies.
func TestManyPoliciesWithTheirOwnExceptionStaySmall(t *testing.T) {
	const n = 1000
	var policies []*policy.Policy
	var pods []*cluster.Pod
	for i := range n {
		app := fmt.Sprintf("app-%d", i)
		policies = append(policies, allowing(app, app, blockOf("0.0.0.0/0", fmt.Sprintf("20.0.%d.%d/32", i>>8, i&255))))
		if i%4 == 0 {
			pods = append(pods, podOf(app, app, fmt.Sprintf("10.0.1.%d", i/4)))
		}
	}
	c := compilerOf(pods, policies...)
	p := c.Plan()
	for id, texts := range p.Peers {
		if len(texts) > 2 {
			t.Fatalf("group %s lists %d blocks", id, len(texts))
		}
	}
	if got := rowsOf(p); got != 2*len(pods) {
		t.Errorf("%d rows for %d pods with one block and one exception each", got, len(pods))
	}
}

func TestOnePodElsewhereIsOneElement(t *testing.T) {
	w := gen.Large(gen.Source(1, 0), 2_000, 200, 0)
	c := New(thisNode)
	c.SetAll(w.Snapshot, w.Set)
	c.Commit()
	p := *podOn(w, "node-1")
	p.Name.Name, p.Addrs = "new", []netip.Addr{netip.MustParseAddr("10.200.0.1")}
	c.SetPod(&p)
	if d := c.Commit(); d.Len() != 1 || len(d.Addrs) != 1 {
		t.Errorf("a pod that starts elsewhere changes\n%s", d.Text())
	}
	c.DeletePod(p.Name)
	if d := c.Commit(); d.Len() != 1 || len(d.Addrs) != 1 {
		t.Errorf("a pod that stops elsewhere changes\n%s", d.Text())
	}
}

func TestAChangeOfOnePodAllocatesLittle(t *testing.T) {
	w := gen.Large(gen.Source(1, 0), 2_000, 200, 0)
	c := New(thisNode)
	c.SetAll(w.Snapshot, w.Set)
	c.Commit()
	s := relabelled(podOn(w, "node-1"), "app", "app-3")
	s.there(c)
	c.Commit()
	n := testing.AllocsPerRun(100, func() {
		s.back(c)
		c.Commit()
		s.there(c)
		c.Commit()
	})
	if n > 150 {
		t.Errorf("%.0f allocations for two changes", n)
	}
}

func TestSelectorsAreAnchoredWhereTheyMust(t *testing.T) {
	parse := func(s string) policy.Selector {
		selector, err := labels.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return selector
	}
	for _, row := range []struct {
		selector policy.PodSelector
		want     []anchor
		wide     bool
	}{
		{policy.PodSelector{}, []anchor{{}}, true},
		{policy.PodSelector{Namespace: "shop"}, []anchor{{namespace: "shop"}}, false},
		{policy.PodSelector{Pods: parse("app=web")}, []anchor{{term: term{"app", "web"}}}, false},
		{policy.PodSelector{Namespace: "shop", Pods: parse("app=web")}, []anchor{{"shop", term{"app", "web"}}}, false},
		{policy.PodSelector{Pods: parse("app in (a,b),role=x")}, []anchor{{term: term{"role", "x"}}}, false},
		{policy.PodSelector{Pods: parse("app in (a,b)")}, []anchor{{term: term{"app", "a"}}, {term: term{"app", "b"}}}, false},
		{policy.PodSelector{Pods: parse("app!=web,role")}, []anchor{{}}, true},
		{policy.PodSelector{Namespaces: parse("env=prod")}, []anchor{{}}, true},
		{policy.PodSelector{Namespaces: parse("kubernetes.io/metadata.name=shop")}, []anchor{{}}, false},
		{policy.PodSelector{Pods: labels.Nothing()}, []anchor{{}}, true},
	} {
		got := anchors(&row.selector)
		slices.SortFunc(got, func(a, b anchor) int { return slices.Compare([]string{a.term.value}, []string{b.term.value}) })
		if !slices.Equal(got, row.want) || widePods(&row.selector) != row.wide {
			t.Errorf("%s: anchored at %v, wide %v", row.selector, got, widePods(&row.selector))
		}
	}
}
