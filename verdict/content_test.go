package verdict

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// asking is a Cilium policy of the shop's back end, with one rule for the front
// end.
func asking(t *testing.T, name string, change func(*policy.Rule)) *policy.Policy {
	t.Helper()
	r := policy.Rule{Action: policy.Allow, AnyPeer: true, Ports: []policy.Port{{Protocol: traffic.TCP, From: 80, To: 80}}}
	change(&r)
	return &policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Cilium, Kind: "CiliumNetworkPolicy", Namespace: "shop", Name: name},
		Tier:    policy.NetworkPolicyTier.Name,
		Subject: policy.PodSelector{Namespace: "shop"},
		Ingress: &policy.Rules{Isolates: true, Rules: []policy.Rule{r}},
	}
}

func withHTTP(t *testing.T, method, path string) func(*policy.Rule) {
	h, err := l7.NewHTTP(l7.HTTP{Method: method, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return func(r *policy.Rule) { r.HTTP = []l7.HTTP{h} }
}

func withDNS(t *testing.T, name string) func(*policy.Rule) {
	n, err := l7.CiliumPattern(name)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *policy.Rule) { r.DNS = []l7.Name{n} }
}

func TestContent(t *testing.T) {
	get, any := asking(t, "get", withHTTP(t, "GET", "")), asking(t, "any", func(*policy.Rule) {})
	names := asking(t, "names", withDNS(t, "*.example.com"))
	deny := asking(t, "deny", func(r *policy.Rule) { r.Action = policy.Deny })
	calico := asking(t, "calico", withHTTP(t, "", "/a"))
	calico.Dialect, calico.Kind = policy.Calico, "NetworkPolicy"
	for _, row := range []struct {
		name     string
		policies []*policy.Policy
		request  string // "GET /a"; empty: none
		query    string
		want     traffic.Verdict
		reason   string
	}{
		{"the content matters", []*policy.Policy{get}, "", "", traffic.InspectHTTP, "for http method GET"},
		{"content that fits", []*policy.Policy{get}, "GET /a", "", traffic.Allow, "allowed by shop/get rule 0"},
		{"content that does not", []*policy.Policy{get}, "PUT /a", "", traffic.Deny, "no rule allows"},
		{"content of another kind", []*policy.Policy{get}, "", "a.example.com", traffic.Deny, "no rule allows"},
		{"a rule for any content lifts it", []*policy.Policy{get, any}, "PUT /a", "", traffic.Allow, "shop/any"},
		{"and nothing is inspected", []*policy.Policy{get, any}, "", "", traffic.Allow, "shop/any"},
		{"a deny comes first", []*policy.Policy{get, deny}, "GET /a", "", traffic.Deny, "denied by shop/deny"},
		{"queries", []*policy.Policy{names}, "", "", traffic.InspectDNS, "for queries of *.example.com"},
		{"a query that fits", []*policy.Policy{names}, "", "A.example.com.", traffic.Allow, "shop/names"},
		{"a query that does not", []*policy.Policy{names}, "", "example.com", traffic.Deny, "no rule allows"},
		{"two kinds on one port", []*policy.Policy{get, names}, "", "", traffic.Deny, "no rule allows"},
		{"two dialects: both must allow", []*policy.Policy{get, calico}, "GET /b", "", traffic.Deny, ""},
		{"two dialects: both do", []*policy.Policy{get, calico}, "GET /a", "", traffic.Allow, ""},
		{"two dialects: both look", []*policy.Policy{get, calico}, "", "", traffic.InspectHTTP, ""},
	} {
		set := policy.NewSet()
		for _, p := range row.policies {
			set.Add(p)
		}
		snapshot := plan()
		pod := func(name string) Endpoint {
			p := snapshot.Pods[cluster.Name{Namespace: "shop", Name: name}]
			return Endpoint{Addr: p.Addrs[0], Pod: p}
		}
		c := Connection{From: pod("frontend"), To: pod("backend"), Protocol: traffic.TCP, Port: 80, Query: row.query}
		if method, path, ok := strings.Cut(row.request, " "); ok {
			c.Request = &l7.Request{Method: method, Path: path}
		}
		got := Evaluate(snapshot, set, c)
		if got.Verdict != row.want || !strings.Contains(got.Ingress.Reason, row.reason) {
			t.Errorf("%s: %s, %q, want %s with %q", row.name, got.Verdict, got.Ingress.Reason, row.want, row.reason)
		}
	}
}
