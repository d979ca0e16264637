package verdict

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

var (
	shopFrontend = pods("shop", "app=frontend")
	closed       = np("shop/default-deny", "", in(), out())
	backend      = np("shop/backend", "app=backend", in(allow("TCP 8080", shopFrontend)))
)

func named(name string, r policy.Rule) policy.Rule {
	r.Name = name
	return r
}

var reasonRows = []struct {
	policies   policies
	connection string
	direction  traffic.Direction
	want       string
}{
	{nil, "shop/frontend -> shop/backend TCP 8080", traffic.Egress, "no policy selects shop/frontend for egress"},
	{nil, "n1 -> shop/backend TCP 8080", traffic.Egress, "node/n1 is a node: no policy selects it for egress"},
	{nil, "shop/backend -> 203.0.113.9 TCP 443", traffic.Ingress, "ip/203.0.113.9 is outside the cluster: no policy selects it for ingress"},
	{nil, "shop/backend -> kube-system/proxy TCP 8080", traffic.Ingress, "kube-system/proxy is on its node's network: no policy selects it"},
	{policies{closed}, "shop/backend -> shop/backend TCP 8080", traffic.Ingress, "shop/backend reaches itself, which is never filtered"},
	{policies{closed}, "n2 -> shop/backend TCP 8080", traffic.Ingress, "shop/backend runs on node/n2, and a node always reaches its own pods"},
	{policies{closed}, "kube-system/agent -> shop/backend TCP 8080", traffic.Ingress, "shop/backend runs on kube-system/agent's node, and a node always reaches its own pods"},
	{policies{closed, backend}, "shop/frontend -> shop/backend TCP 8080", traffic.Ingress, "allowed by shop/backend rule 0: pods app=frontend of namespace shop on TCP 8080"},
	{policies{closed, backend}, "shop/frontend -> shop/backend TCP 9090", traffic.Ingress, "isolated for ingress by shop/backend, shop/default-deny; no rule allows shop/frontend on TCP 9090"},
	{policies{closed}, "shop/frontend -> shop/backend ICMP", traffic.Egress, "isolated for egress by shop/default-deny; no rule allows shop/backend on ICMP"},
	{policies{backend, np("shop/more", "", in(allow("UDP"), allow("")))}, "shop/frontend -> shop/backend TCP 8080", traffic.Ingress, "allowed by shop/backend rule 0: pods app=frontend of namespace shop on TCP 8080; also by shop/more rule 1"},
	{policies{np("shop/x", "", in(allow("UDP")))}, "shop/frontend -> shop/backend UDP 5", traffic.Ingress, "allowed by shop/x rule 0: everyone on every UDP port"},
	{policies{np("shop/x", "", in(allow("", pods("", ""))))}, "shop/frontend -> shop/backend UDP 5", traffic.Ingress, "allowed by shop/x rule 0: all pods on every port"},
	{policies{np("shop/x", "", in(allow("TCP http", pods("team=dev", ""))))}, "dev/visitor -> shop/backend TCP 8081", traffic.Ingress, "allowed by shop/x rule 0: all pods of namespaces team=dev on TCP http (8080 8081)"},
	{policies{np("shop/x", "", out(allow("TCP 1-99", block("203.0.0.0/16", "203.0.1.0/24"))))}, "shop/backend -> 203.0.113.9 TCP 80", traffic.Egress, "allowed by shop/x rule 0: 203.0.0.0/16 but for 203.0.1.0/24 on TCP 1-99"},
	{policies{global("Admin", "acme", 0, "", in(named("no-dev", act(policy.Deny, dev))))}, "dev/visitor -> shop/backend TCP 8080", traffic.Ingress, "denied by acme rule 0 (no-dev) in tier Admin: all pods of namespace dev on every port"},
	{policies{global("Admin", "acme", 0, "", in(act(policy.Pass, dev)))}, "dev/visitor -> shop/backend TCP 8080", traffic.Ingress, "passed on by acme rule 0, and no later tier decides"},
	{policies{isolating(global("lenient", "acme", 0, "", in()))}, "dev/visitor -> shop/backend TCP 8080", traffic.Ingress, "passed on by tier lenient, and no later tier decides"},
	{policies{global("Admin", "acme", 0, "", in(act(policy.Deny, shopFrontend)))}, "dev/visitor -> shop/backend TCP 8080", traffic.Ingress, "selected for ingress by acme, but no rule decides dev/visitor on TCP 8080"},
}

func TestReasons(t *testing.T) {
	for _, row := range reasonRows {
		t.Run(row.want, func(t *testing.T) {
			got := decision(t, row.policies, row.connection, row.direction)
			if got.Reason != row.want {
				t.Errorf("got %s", got.Reason)
			}
		})
	}
}

func decision(t *testing.T, policies policies, connection string, d traffic.Direction) Decision {
	t.Helper()
	snapshot := plan()
	result := Evaluate(snapshot, set(policies, allTiers...), connect(t, snapshot, connection))
	if d == traffic.Ingress {
		return result.Ingress
	}
	return result.Egress
}

var hintRows = []struct {
	name       string
	rules      []policy.Rule
	connection string
	want       []string
}{
	{"another port", []policy.Rule{allow("TCP 8080, TCP 80-90, UDP", shopFrontend)}, "shop/frontend -> shop/backend TCP 9090", []string{"shop/x rule 0 allows shop/frontend on TCP 8080, TCP 80-90, every UDP port only"}},
	{"another protocol", []policy.Rule{allow("UDP 53")}, "shop/frontend -> shop/backend TCP 53", []string{"shop/x rule 0 allows shop/frontend on UDP 53 only"}},
	{"another number of the name", []policy.Rule{allow("TCP http")}, "shop/frontend -> shop/cart TCP 80", []string{"shop/x rule 0 allows shop/frontend on TCP http (8000) only"}},
	{"a name that the pod has not", []policy.Rule{allow("TCP web")}, "shop/frontend -> shop/cart TCP 80", []string{"shop/x rule 0 allows shop/frontend on TCP web (no such port on shop/cart) only"}},
	{"another namespace", []policy.Rule{allow("", shopFrontend)}, "dev/visitor -> shop/backend TCP 80", []string{"shop/x rule 0 allows pods app=frontend of namespace shop; dev/visitor is in namespace dev"}},
	{"other labels", []policy.Rule{allow("", pods("shop", "app=frontend,tier=web,stage!=x"))}, "shop/cart -> shop/backend TCP 80", []string{"shop/x rule 0 allows pods app=frontend,stage!=x,tier=web of namespace shop; shop/cart has app=cart and has no label tier"}},
	{"the namespace's labels", []policy.Rule{allow("", pods("team=shop", "app=frontend"))}, "dev/visitor -> shop/backend TCP 80", []string{"shop/x rule 0 allows pods app=frontend of namespaces team=shop; namespace dev has team=dev"}},
	{"the namespace's missing label", []policy.Rule{allow("", pods("stage=test", ""))}, "shop/cart -> shop/backend TCP 80", []string{"shop/x rule 0 allows all pods of namespaces stage=test; namespace shop has no label stage"}},
	{"an except", []policy.Rule{allow("", block("203.0.0.0/16", "203.0.113.0/24"))}, "203.0.113.9 -> shop/backend TCP 80", []string{"shop/x rule 0 allows 203.0.0.0/16 but for 203.0.113.0/24; ip/203.0.113.9 is in 203.0.113.0/24"}},
	{"the other family", []policy.Rule{allow("", block("0.0.0.0/0"), block("10.0.0.0/8"))}, "shop/frontend -> shop/backend TCP 80 6", []string{"shop/x rule 0 allows 0.0.0.0/0; fd01::1:1 is not of that address family"}},
	{"a host-network pod", []policy.Rule{allow("", pods("kube-system", "app=frontend"))}, "kube-system/proxy -> shop/backend TCP 80", []string{"shop/x rule 0 allows pods app=frontend of namespace kube-system; kube-system/proxy is on its node's network, where no selector picks it"}},
	{"a host-network pod of another namespace", []policy.Rule{allow("", shopFrontend)}, "kube-system/proxy -> shop/backend TCP 80", nil},
	{"two conditions off", []policy.Rule{allow("TCP 81", shopFrontend), allow("", pods("shop", "app=x")), allow("", block("192.0.2.0/24"))}, "dev/visitor -> shop/backend TCP 80", nil},
	{"a rule for nobody", []policy.Rule{nobody, {Action: policy.Allow, AnyPeer: true}}, "dev/visitor -> shop/backend TCP 80", nil},
	{"ports come first, three are enough", []policy.Rule{allow("", shopFrontend), allow("TCP 1"), allow("TCP 2"), allow("TCP 3"), allow("TCP 4")}, "dev/visitor -> shop/backend TCP 80",
		[]string{"shop/x rule 1 allows dev/visitor on TCP 1 only", "shop/x rule 2 allows dev/visitor on TCP 2 only", "shop/x rule 3 allows dev/visitor on TCP 3 only"}},
}

func TestHints(t *testing.T) {
	for _, row := range hintRows {
		t.Run(row.name, func(t *testing.T) {
			got := decision(t, policies{np("shop/x", "", in(row.rules...))}, row.connection, traffic.Ingress)
			if got.Verdict != traffic.Deny {
				t.Fatalf("%s, want deny: %s", got.Verdict, got.Reason)
			}
			if diff := cmp.Diff(row.want, got.Hints); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A denial needs no hint where something allows.
func TestNoHintForWhatIsAllowed(t *testing.T) {
	if got := decision(t, policies{closed, backend}, "shop/frontend -> shop/backend TCP 8080", traffic.Ingress); got.Hints != nil {
		t.Errorf("hints %q", got.Hints)
	}
}

func TestStepsTellTheWayThroughTheTiers(t *testing.T) {
	got := decision(t, policies{
		global("Admin", "acme", 0, "", in(act(policy.Log), act(policy.Pass, dev))),
		global("security", "calm", 0, "", in(act(policy.Deny, shopFrontend))),
		isolating(global("lenient", "lax", 0, "", in())),
		closed, backend,
	}, "dev/visitor -> shop/backend TCP 8080", traffic.Ingress)
	want := []string{
		"Admin tier: acme rule 0 logs",
		"Admin tier: acme rule 1 passes",
		"lenient tier: no rule of lax decides, so its end passes",
		"security tier: no rule of calm decides",
		"NetworkPolicy tier: no rule of shop/backend, shop/default-deny decides, so its end denies",
	}
	if diff := cmp.Diff(want, got.Steps); diff != "" {
		t.Error(diff)
	}
	if got, want := (names{}).join(got.Policies), "acme, shop/backend, shop/default-deny"; got != want {
		t.Errorf("policies %s, want %s", got, want)
	}
}

var jsonRows = []struct{ policies, connection, want string }{
	{"none", "shop/frontend -> shop/backend TCP 8080", `{"verdict":"allow",` +
		`"egress":{"verdict":"allow","reason":"no policy selects shop/frontend for egress"},` +
		`"ingress":{"verdict":"allow","reason":"no policy selects shop/backend for ingress"}}`},
	{"backend", "shop/frontend -> shop/backend TCP 8080", `{"verdict":"allow",` +
		`"egress":{"verdict":"allow","reason":"no policy selects shop/frontend for egress"},` +
		`"ingress":{"verdict":"allow","reason":"allowed by shop/backend rule 0: pods app=frontend of namespace shop on TCP 8080",` +
		`"tier":"NetworkPolicy","policy":"shop/backend","rule":0,"policies":["shop/backend"],"steps":["NetworkPolicy tier: shop/backend rule 0 allows"]}}`},
	{"closed", "203.0.113.9 -> shop/backend UDP 1", `{"verdict":"deny",` +
		`"egress":{"verdict":"allow","reason":"ip/203.0.113.9 is outside the cluster: no policy selects it for egress"},` +
		`"ingress":{"verdict":"deny","reason":"isolated for ingress by shop/default-deny; no rule allows ip/203.0.113.9 on UDP 1",` +
		`"tier":"NetworkPolicy","policy":"shop/default-deny","policies":["shop/default-deny"],` +
		`"steps":["NetworkPolicy tier: no rule of shop/default-deny decides, so its end denies"]}}`},
	{"closed backend", "shop/cart -> shop/backend UDP 1", `{"verdict":"deny",` +
		`"egress":{"verdict":"deny","reason":"isolated for egress by shop/default-deny; no rule allows shop/backend on UDP 1",` +
		`"tier":"NetworkPolicy","policy":"shop/default-deny","policies":["shop/default-deny"],` +
		`"steps":["NetworkPolicy tier: no rule of shop/default-deny decides, so its end denies"]},` +
		`"ingress":{"verdict":"deny","reason":"isolated for ingress by shop/backend, shop/default-deny; no rule allows shop/cart on UDP 1",` +
		`"tier":"NetworkPolicy","policies":["shop/backend","shop/default-deny"],` +
		`"steps":["NetworkPolicy tier: no rule of shop/backend, shop/default-deny decides, so its end denies"]}}`},
}

func TestResultAsJSON(t *testing.T) {
	known := map[string]*policy.Policy{"closed": closed, "backend": backend}
	for _, row := range jsonRows {
		var policies policies
		for _, name := range strings.Fields(row.policies) {
			if p := known[name]; p != nil {
				policies = append(policies, p)
			}
		}
		snapshot := plan()
		got, err := json.Marshal(Evaluate(snapshot, set(policies), connect(t, snapshot, row.connection)))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != row.want {
			t.Errorf("%s under %s:\n got %s\nwant %s", row.connection, row.policies, got, row.want)
		}
	}
}
