package calico

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func decode(t testing.TB, text string, spec any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), spec); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
}

// decodeLoosely is what an API client does.
func decodeLoosely(text string, spec any) error { return yaml.Unmarshal([]byte(text), spec) }

// object is the NetworkPolicy shop/p.
func object(t testing.TB, spec string) *NetworkPolicy {
	t.Helper()
	p := &NetworkPolicy{}
	p.Namespace, p.Name = "shop", "p"
	decode(t, spec, &p.Spec)
	return p
}

func globalObject(t testing.TB, spec string) *GlobalNetworkPolicy {
	t.Helper()
	p := &GlobalNetworkPolicy{}
	p.Name = "p"
	decode(t, spec, &p.Spec)
	return p
}

func in(rule string) string  { return "{ingress: [" + rule + "]}" }
func out(rule string) string { return "{egress: [" + rule + "]}" }

func TestReadSubjectAndTypes(t *testing.T) {
	const shop = "pods namespace=shop"
	for _, row := range []struct{ name, spec, want string }{
		{"nothing is ingress", `{}`, shop + " | ingress isolates"},
		{"egress rules alone are egress", out(`{action: Deny}`), shop + " | egress isolates (deny any peer any port)"},
		{"both rules are both", `{ingress: [{action: Allow}], egress: [{action: Deny}]}`,
			shop + " | ingress isolates (allow any peer any port) | egress isolates (deny any peer any port)"},
		{"a destination behind a service, at its ports", out(`{action: Allow, destination: {services: {name: web, namespace: a}}}`),
			shop + " | egress isolates (allow [backends of services namespace=a name=web at their ports] any port)"},
		{"types decide", `{types: [Egress]}`, shop + " | egress isolates"},
		{"rules of a type left out have no effect", `{types: [Egress], ingress: [{action: Allow}]}`, shop + " | egress isolates"},
		{"selector", `{selector: "role == 'db' && has(x)"}`, shop + ` {has(x) && role == "db"} | ingress isolates`},
		{"all pods", `{selector: "all()"}`, shop + " | ingress isolates"},
		{"service accounts", `{serviceAccountSelector: "team == 'a' && projectcalico.org/name == 'sa'"}`,
			shop + ` {@account == "sa" && @account/team == "a"} | ingress isolates`},
		{"namespace and account as labels", `{selector: "projectcalico.org/serviceaccount == 'sa' && pcns.team == 'a' && pcsa.team == 'b' && pcns.projectcalico.org/name != 'x'"}`,
			shop + ` {@account == "sa" && @account/team == "b" && @namespace != "x" && @namespace/team == "a"} | ingress isolates`},
		{"pods of Kubernetes", `{selector: "projectcalico.org/orchestrator == 'k8s'"}`, shop + " {has(@account)} | ingress isolates"},
		{"no pods of others", `{selector: "projectcalico.org/orchestrator == 'openstack'"}`, shop + " {!all()} | ingress isolates"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := object(t, row.spec)
			p, errs := Read(o)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if p.Text() != row.want {
				t.Errorf("got  %s\nwant %s", p.Text(), row.want)
			}
		})
	}
}

func TestReadGlobalSubject(t *testing.T) {
	for _, row := range []struct{ name, spec, want string }{
		{"everything", `{}`, "pods | ingress isolates"},
		{"namespaces", `{namespaceSelector: "team == 'a'"}`, `pods {@namespace/team == "a"} | ingress isolates`},
		{"namespaces by name", `{namespaceSelector: "projectcalico.org/name in {'a', 'b'}"}`, `pods {@namespace in {"a", "b"}} | ingress isolates`},
		{"all namespaces", `{namespaceSelector: "all()"}`, `pods {has(@namespace)} | ingress isolates`},
		{"all three", `{selector: "a == 'x'", serviceAccountSelector: "has(b)", namespaceSelector: "c != 'y'"}`,
			`pods {@namespace/c != "y" && a == "x" && has(@account/b)} | ingress isolates`},
		{"a namespace as a label", `{selector: "projectcalico.org/namespace == 'kube-system'"}`, `pods {@namespace == "kube-system"} | ingress isolates`},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := ReadGlobal(globalObject(t, row.spec))
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			p.Hosts = nil // TestReadPoliciesOnHosts looks at them
			if p.Text() != row.want {
				t.Errorf("got  %s\nwant %s", p.Text(), row.want)
			}
		})
	}
}

// Each row is a rule in the ingress of a policy; N stands for the policy of
// namespace shop, G for a cluster-wide one.
func TestReadRules(t *testing.T) {
	for _, row := range []struct{ name, of, rule, want string }{
		// Actions.
		{"allow everything", "NG", `{action: Allow}`, "allow any peer any port"},
		{"pass", "NG", `{action: Pass}`, "pass any peer any port"},
		{"log", "NG", `{action: Log}`, "log any peer any port"},

		// Services.
		{"a source behind a service", "N", `{action: Allow, source: {services: {name: web}}}`,
			`allow [backends of services namespace=shop name=web] any port`},
		{"a service of a namespace", "NG", `{action: Deny, protocol: TCP, source: {services: {name: web, namespace: a}}}`,
			`deny [backends of services namespace=a name=web] TCP`},

		// Ends.
		{"a selector means the policy's namespace", "N", `{action: Allow, source: {selector: "a == 'x'"}}`,
			`allow [pods namespace=shop {a == "x"}] [calico networks {@namespace == "shop" && a == "x"}] any port`},
		{"a selector means all namespaces", "G", `{action: Allow, source: {selector: "a == 'x'"}}`,
			`allow [pods {a == "x"}] [calico networks {a == "x"}] any port`},
		{"all endpoints are not everybody", "G", `{action: Allow, source: {selector: "all()"}}`, `allow [pods] [calico networks] any port`},
		{"a namespace selector takes the place of the own namespace", "NG", `{action: Allow, source: {namespaceSelector: "team == 'a'", selector: "b == 'y'"}}`,
			`allow [pods {@namespace/team == "a" && b == "y"}] [calico networks {@namespace/team == "a" && b == "y"}] any port`},
		{"all namespaces", "NG", `{action: Allow, source: {namespaceSelector: "all()"}}`, `allow [pods {has(@namespace)}] [calico networks {has(@namespace)}] any port`},
		{"what is in no namespace", "NG", `{action: Allow, source: {namespaceSelector: "global()", selector: "feed == 'x'"}}`,
			`allow [pods {!has(@namespace) && feed == "x"}] [calico networks {!has(@namespace) && feed == "x"}] any port`},
		{"notSelector is of all namespaces, and limits to the own", "N", `{action: Allow, source: {notSelector: "a == 'x'"}}`,
			`allow [pods namespace=shop and not calico networks {a == "x"} and not pods {a == "x"}] [calico networks {@namespace == "shop"} and not calico networks {a == "x"} and not pods {a == "x"}] any port`},
		{"notSelector alone includes the outside", "G", `{action: Deny, source: {notSelector: "a == 'x'"}}`,
			`deny [not calico networks {a == "x"} and not pods {a == "x"}] any port`},
		{"service accounts by name", "G", `{action: Allow, source: {serviceAccounts: {names: [b, a]}}}`,
			`allow [pods {@account in {"a", "b"} && has(@account)}] [calico networks {@account in {"a", "b"} && has(@account)}] any port`},
		{"service accounts by label", "N", `{action: Allow, source: {serviceAccounts: {selector: "team == 'a'"}}}`,
			`allow [pods namespace=shop {@account/team == "a" && has(@account)}] [calico networks {@account/team == "a" && @namespace == "shop" && has(@account)}] any port`},
		{"nets", "NG", `{action: Allow, source: {nets: [10.1.2.3/8, 192.0.2.1]}}`, "allow [net 10.0.0.0/8] [net 192.0.2.1/32] any port"},
		{"notNets are of their family", "NG", `{action: Allow, source: {notNets: [10.0.0.0/8]}}`, "allow [net 0.0.0.0/0 and not net 10.0.0.0/8] any port"},
		{"nets and notNets", "NG", `{action: Allow, source: {nets: ["2001:db8::/32"], notNets: ["2001:db8:1::/48"]}}`, "allow [net 2001:db8::/32 and not net 2001:db8:1::/48] any port"},
		{"a selector and nets", "G", `{action: Allow, source: {selector: "has(a)", nets: [10.0.0.0/8]}}`,
			"allow [pods {has(a)} and net 10.0.0.0/8] [calico networks {has(a)} and net 10.0.0.0/8] any port"},
		{"the pod itself", "G", `{action: Allow, destination: {selector: "has(a)", nets: [10.0.0.0/8]}}`,
			"allow [net 0.0.0.0/0] itself [pods {has(a)} and net 10.0.0.0/8] itself [calico networks {has(a)} and net 10.0.0.0/8] any port"},
		{"ipVersion", "NG", `{action: Deny, ipVersion: 6}`, "deny [net ::/0] any port"},
		{"ipVersion and a selector", "G", `{action: Deny, ipVersion: 4, source: {selector: "has(a)"}}`,
			"deny [pods {has(a)} and net 0.0.0.0/0] [calico networks {has(a)} and net 0.0.0.0/0] any port"},

		// Protocols and ports.
		{"protocol", "NG", `{action: Allow, protocol: TCP}`, "allow any peer TCP"},
		{"protocol in lower case", "NG", `{action: Allow, protocol: udp}`, "allow any peer UDP"},
		{"protocol by number", "NG", `{action: Allow, protocol: 47}`, "allow any peer 47"},
		{"a protocol's name by number", "NG", `{action: Allow, protocol: UDPLite}`, "allow any peer 136"},
		{"notProtocol", "NG", `{action: Deny, notProtocol: UDP}`, "deny any peer any port not UDP"},
		{"ports", "NG", `{action: Allow, protocol: TCP, destination: {ports: [80, "8000:9000", "443", http]}}`, "allow any peer TCP 80 TCP 8000-9000 TCP 443 TCP http"},
		{"notPorts", "NG", `{action: Deny, protocol: UDP, destination: {notPorts: [53, "100:200"]}}`, "deny any peer UDP not UDP 53 not UDP 100-200"},
		{"ICMP", "NG", `{action: Allow, protocol: ICMP}`, "allow any peer ICMP"},
		{"ICMP type", "NG", `{action: Allow, protocol: ICMP, icmp: {type: 8}}`, "allow any peer ICMP type 8"},
		{"ICMP type and code", "NG", `{action: Allow, protocol: ICMPv6, icmp: {type: 1, code: 4}}`, "allow any peer ICMPv6 type 1 code 4"},
		{"ICMP type zero and code zero", "NG", `{action: Allow, protocol: ICMP, icmp: {type: 0, code: 0}}`, "allow any peer ICMP type 0 code 0"},
		{"notICMP", "NG", `{action: Deny, protocol: ICMP, notICMP: {type: 8}}`, "deny any peer ICMP not ICMP type 8"},
		{"ICMP without a type", "NG", `{action: Deny, protocol: ICMP, icmp: {}}`, "deny any peer ICMP"},
		{"HTTP", "NG", `{action: Allow, protocol: TCP, http: {methods: [GET, PUT], paths: [{exact: /a.b}, {prefix: /c}]}, destination: {ports: [80]}}`,
			`allow any peer TCP 80 http method GET|PUT path /a\.b(\?.*)?|/c.*`},
		{"HTTP of any method", "NG", `{action: Allow, http: {paths: [{prefix: /}]}}`, "allow any peer any port http path /.*"},
		{"annotations mean nothing", "NG", `{action: Allow, metadata: {annotations: {a: b}}}`, "allow any peer any port"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, kind := range row.of {
				var p *policy.Policy
				if kind == 'N' {
					o := object(t, in(row.rule))
					before := *o
					read, errs := Read(o)
					if len(errs) > 0 {
						t.Fatal(errs.ToAggregate())
					}
					if !reflect.DeepEqual(*o, before) {
						t.Error("the object was changed")
					}
					p = read
				} else {
					read, errs := ReadGlobal(globalObject(t, in(row.rule)))
					if len(errs) > 0 {
						t.Fatal(errs.ToAggregate())
					}
					p = read
				}
				if got := p.Ingress.Rules[0].String(); got != row.want {
					t.Errorf("%c: got  %s\nwant %s", kind, got, row.want)
				}
				if len(p.Gaps) > 0 {
					t.Errorf("gaps: %v", p.Gaps)
				}
			}
		})
	}
}

func TestReadEgressTurnsTheEndsAround(t *testing.T) {
	p, errs := ReadGlobal(globalObject(t, out(`{action: Deny, protocol: TCP, source: {selector: "has(a)"}, destination: {nets: [169.254.169.254], ports: [80]}}`)))
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	want := "deny [net 169.254.169.254/32] itself [pods {has(a)}] itself [calico networks {has(a)}] TCP 80"
	if got := p.Egress.Rules[0].String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReadIdentity(t *testing.T) {
	for _, row := range []struct {
		spec, tier string
		order      float64
	}{
		{`{}`, "NetworkPolicy", math.Inf(1)},
		{`{tier: default, order: 0}`, "NetworkPolicy", 0},
		{`{tier: security, order: -1.5}`, "security", -1.5},
		{`{tier: kube-admin, order: 7}`, "Admin", 7},
		{`{tier: kube-baseline}`, "Baseline", math.Inf(1)},
	} {
		p, errs := Read(object(t, row.spec))
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		want := policy.Ref{Dialect: policy.Calico, Kind: "NetworkPolicy", Namespace: "shop", Name: "p"}
		if p.Ref != want || p.Tier != row.tier || p.Order != row.order {
			t.Errorf("%s: %+v in tier %s at %v", row.spec, p.Ref, p.Tier, p.Order)
		}
	}
}

func TestReadTier(t *testing.T) {
	for _, row := range []struct {
		name, spec string
		want       policy.Tier
	}{
		{"security", `{order: 100}`, policy.Tier{Name: "security", Order: 100, End: policy.Deny}},
		{"security", `{order: 100, defaultAction: Pass}`, policy.Tier{Name: "security", Order: 100, End: policy.Pass}},
		{"last", `{}`, policy.Tier{Name: "last", Order: math.Inf(1), End: policy.Deny}},
		{"default", `{order: 1000000, defaultAction: Deny}`, policy.NetworkPolicyTier},
		{"kube-admin", `{order: 1000, defaultAction: Pass}`, policy.AdminTier},
		{"kube-baseline", `{order: 10000000, defaultAction: Pass}`, policy.BaselineTier},
	} {
		o := &Tier{}
		o.Name = row.name
		decode(t, row.spec, &o.Spec)
		tier, errs := ReadTier(o)
		if len(errs) > 0 || tier != row.want {
			t.Errorf("%s %s: %+v, %v", row.name, row.spec, tier, errs)
		}
	}
}

func TestReadNetworks(t *testing.T) {
	set := &NetworkSet{}
	set.Namespace, set.Name, set.Labels = "shop", "s", map[string]string{"a": "b"}
	decode(t, `{nets: [10.1.2.3/16, 10.0.0.0/8, "2001:db8::1", 192.0.2.1]}`, &set.Spec)
	n, errs := ReadNetworkSet(set)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if got := strings.Trim(join(n), " "); got != "shop/s 10.0.0.0/8 192.0.2.1/32 2001:db8::1/128" || n.Labels["a"] != "b" {
		t.Error(got)
	}
	host := &HostEndpoint{}
	host.Name = "h"
	decode(t, `{node: n1, interfaceName: "*", expectedIPs: [10.0.0.1, "fd00::1"], profiles: [p], ports: [{name: x, protocol: TCP, port: 1}]}`, &host.Spec)
	n, errs = ReadHostEndpoint(host)
	if len(errs) > 0 || join(n) != "h 10.0.0.1/32 fd00::1/128" {
		t.Error(join(n), errs)
	}
	everywhere := &GlobalNetworkSet{}
	everywhere.Name = "g"
	n, errs = ReadGlobalNetworkSet(everywhere)
	if len(errs) > 0 || n.Ref != (policy.Ref{Dialect: policy.Calico, Kind: GlobalNetworkSetKind, Name: "g"}) || len(n.Prefixes) > 0 {
		t.Error(n, errs)
	}
}

func join(n *policy.Networks) string {
	text := n.Ref.String()
	for _, p := range n.Prefixes {
		text += " " + p.String()
	}
	return text
}

func TestReadStaged(t *testing.T) {
	staged := &StagedNetworkPolicy{}
	staged.Namespace, staged.Name = "shop", "p"
	for _, row := range []struct {
		spec    string
		deletes bool
		none    bool
	}{
		{`{selector: "has(a)", types: [Ingress]}`, false, false},
		{`{stagedAction: Set, selector: "has(a)"}`, false, false},
		{`{stagedAction: Delete}`, true, false},
		{`{stagedAction: Ignore}`, false, true},
	} {
		staged.Spec = StagedNetworkPolicySpec{}
		decode(t, row.spec, &staged.Spec)
		s, errs := ReadStaged(staged)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		if (s == nil) != row.none {
			t.Errorf("%s: %v", row.spec, s)
		}
		if s == nil {
			continue
		}
		if s.Deletes != row.deletes || s.Kind != StagedKind || s.Enforced != (policy.Ref{Dialect: policy.Calico, Kind: Kind, Namespace: "shop", Name: "p"}) {
			t.Errorf("%s: %+v", row.spec, s)
		}
	}
	kubernetes := &StagedKubernetesNetworkPolicy{}
	kubernetes.Namespace, kubernetes.Name = "shop", "p"
	decode(t, `{podSelector: {matchLabels: {a: b}}, policyTypes: [Egress]}`, &kubernetes.Spec)
	s, errs := ReadStagedKubernetes(kubernetes)
	if len(errs) > 0 || s.Text() != "pods namespace=shop {a=b} | egress isolates" || s.Enforced.Dialect != policy.Kubernetes || s.Kind != StagedKubernetesKind {
		t.Errorf("%v, %v", s, errs)
	}
	wide := &StagedGlobalNetworkPolicy{}
	wide.Name = "p"
	decode(t, `{namespaceSelector: "has(a)"}`, &wide.Spec)
	if s, errs := ReadStagedGlobal(wide); len(errs) > 0 || s.Enforced.Kind != GlobalKind {
		t.Errorf("%v, %v", s, errs)
	}
}
