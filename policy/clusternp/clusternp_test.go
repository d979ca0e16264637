package clusternp

import (
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
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

// object is a ClusterNetworkPolicy p of the Admin tier for all pods, unless its
// spec says otherwise.
func object(t testing.TB, spec string) *v1alpha2.ClusterNetworkPolicy {
	t.Helper()
	p := &v1alpha2.ClusterNetworkPolicy{}
	p.Name = "p"
	p.Spec.Tier = v1alpha2.AdminTier
	decode(t, spec, &p.Spec)
	if !strings.Contains(spec, "subject:") {
		decode(t, "{namespaces: {}}", &p.Spec.Subject)
	}
	return p
}

// in and out are one rule.
func in(rule string) string  { return "{ingress: [" + rule + "]}" }
func out(rule string) string { return "{egress: [" + rule + "]}" }

func TestRead(t *testing.T) {
	for _, row := range []struct{ name, spec, want string }{
		{"nothing but a subject", `{}`, "pods"},
		{"empty lists say nothing", `{ingress: [], egress: []}`, "pods"},
		{"pods of namespaces", `{subject: {namespaces: {matchLabels: {team: a}}}}`, "pods namespaces{team=a}"},
		{"pods", `{subject: {pods: {namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: b}}}}}`, "pods namespaces{team=a} {app=b}"},
		{"pods of every namespace", `{subject: {pods: {podSelector: {matchLabels: {app: b}}}}}`, "pods {app=b}"},
		{"all pods", `{subject: {pods: {namespaceSelector: {}, podSelector: {}}}}`, "pods"},

		{"accept", in(`{action: Accept, from: [{namespaces: {}}]}`), "pods | ingress (allow [pods] any port)"},
		{"deny", in(`{action: Deny, from: [{namespaces: {}}]}`), "pods | ingress (deny [pods] any port)"},
		{"pass", in(`{action: Pass, from: [{namespaces: {}}]}`), "pods | ingress (pass [pods] any port)"},
		{"rules keep their order", in(`{action: Deny, from: [{namespaces: {}}]}, {action: Accept, from: [{namespaces: {}}]}`),
			"pods | ingress (deny [pods] any port) (allow [pods] any port)"},
		{"both directions", `{ingress: [{action: Deny, from: [{namespaces: {}}]}], egress: [{action: Deny, to: [{namespaces: {}}]}]}`,
			"pods | ingress (deny [pods] any port) | egress (deny [pods] any port)"},

		{"peers are OR-ed", in(`{action: Deny, from: [{namespaces: {matchLabels: {team: a}}}, {pods: {podSelector: {matchLabels: {app: b}}}}]}`),
			"pods | ingress (deny [pods namespaces{team=a}] [pods {app=b}] any port)"},
		{"both selectors of pods are AND-ed", in(`{action: Deny, from: [{pods: {namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: b}}}}]}`),
			"pods | ingress (deny [pods namespaces{team=a} {app=b}] any port)"},
		{"all operators", in(`{action: Deny, from: [{namespaces: {matchExpressions: [
			{key: d, operator: DoesNotExist}, {key: c, operator: Exists}, {key: a, operator: In, values: [v, u]}, {key: b, operator: NotIn, values: [u, v]}]}}]}`),
			"pods | ingress (deny [pods namespaces{a in (u,v),b notin (u,v),c,!d}] any port)"},
		{"networks", out(`{action: Deny, to: [{networks: [10.1.2.3/8, "2001:DB8::/32"]}]}`), "pods | egress (deny [net 10.0.0.0/8] [net 2001:db8::/32] any port)"},
		{"nodes", out(`{action: Deny, to: [{nodes: {matchLabels: {zone: a}}}]}`), "pods | egress (deny [nodes {zone=a}] any port)"},
		{"all nodes", out(`{action: Deny, to: [{nodes: {}}]}`), "pods | egress (deny [nodes] any port)"},

		{"TCP port", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}`), "pods | ingress (deny [pods] TCP 80)"},
		{"UDP range", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{udp: {destinationPort: {range: {start: 1, end: 65535}}}}]}`), "pods | ingress (deny [pods] UDP 1-65535)"},
		{"SCTP and a name", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{sctp: {destinationPort: {number: 9}}}, {destinationNamedPort: http}]}`),
			"pods | ingress (deny [pods] SCTP 9 ANY http)"},
		{"a name towards pods", out(`{action: Accept, to: [{pods: {podSelector: {}}}], protocols: [{destinationNamedPort: dns}]}`), "pods | egress (allow [pods] ANY dns)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := object(t, row.spec)
			before := o.DeepCopy()
			p, errs := Read(o)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if got := p.Text(); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if len(p.Gaps) > 0 {
				t.Errorf("gaps: %v", p.Gaps)
			}
			if !reflect.DeepEqual(o, before) {
				t.Error("the object was changed")
			}
		})
	}
}

func TestReadIdentity(t *testing.T) {
	for _, row := range []struct {
		spec, tier string
		order      float64
	}{
		{`{tier: Admin, priority: 0}`, "Admin", 0},
		{`{tier: Admin, priority: 1000}`, "Admin", 1000},
		{`{tier: Baseline, priority: 7}`, "Baseline", 7},
	} {
		p, errs := Read(object(t, row.spec))
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		want := policy.Ref{Dialect: policy.ClusterNetwork, Kind: "ClusterNetworkPolicy", Name: "p"}
		if p.Ref != want || p.Tier != row.tier || p.Order != row.order {
			t.Errorf("%s: %+v in tier %s at %v", row.spec, p.Ref, p.Tier, p.Order)
		}
	}
	p, _ := Read(object(t, in(`{name: first, action: Deny, from: [{namespaces: {}}]}`)))
	if p.Ingress.Rules[0].Name != "first" || p.Ingress.Isolates {
		t.Errorf("%+v", p.Ingress)
	}
}

func TestReadDomainNames(t *testing.T) {
	for _, row := range []struct{ rule, want string }{
		{`{action: Accept, to: [{domainNames: [www.example.org, "*.example.org."]}]}`,
			"pods | egress (allow [names of clusternetworkpolicy p: *.example.org, www.example.org] any port)"},
		{`{action: Accept, to: [{nodes: {}}, {domainNames: [_a.b-c.d]}]}`,
			"pods | egress (allow [nodes] [names of clusternetworkpolicy p: _a.b-c.d] any port)"},
	} {
		p, errs := Read(object(t, out(row.rule)))
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		if p.Text() != row.want || len(p.Gaps) != 0 {
			t.Errorf("%s: %s, gaps %v", row.rule, p.Text(), p.Gaps)
		}
	}
}

func TestReadAdmin(t *testing.T) {
	for _, row := range []struct{ spec, want string }{
		{`{ingress: [{action: Allow, from: [{namespaces: {}}]}, {action: Pass, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}]}]}`,
			"pods | ingress (allow [pods] any port) (pass [pods {a=b}] any port)"},
		{`{egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}, {nodes: {}}, {namespaces: {}}, {pods: {podSelector: {}, namespaceSelector: {}}}]}]}`,
			"pods | egress (deny [net 10.0.0.0/8] [nodes] [pods] [pods] any port)"},
		{`{egress: [{action: Deny, to: [{namespaces: {}}], ports: [{portNumber: {protocol: UDP, port: 53}}, {portRange: {start: 5, end: 5}}, {namedPort: http}]}]}`,
			"pods | egress (deny [pods] UDP 53 TCP 5 ANY http)"},
		{`{egress: [{action: Allow, to: [{domainNames: [a.b]}]}]}`, "pods | egress (allow [names of adminnetworkpolicy p: a.b] any port)"},
	} {
		o := &v1alpha1.AdminNetworkPolicy{}
		o.Name = "p"
		decode(t, row.spec, &o.Spec)
		decode(t, "{namespaces: {}}", &o.Spec.Subject)
		o.Spec.Priority = 3
		p, errs := ReadAdmin(o)
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		if p.Text() != row.want {
			t.Errorf("got  %s\nwant %s", p.Text(), row.want)
		}
		if p.Tier != "Admin" || p.Order != 3 || p.Kind != AdminKind {
			t.Errorf("%+v in tier %s at %v", p.Ref, p.Tier, p.Order)
		}
	}
}

func TestReadBaseline(t *testing.T) {
	o := &v1alpha1.BaselineAdminNetworkPolicy{}
	o.Name = "default"
	decode(t, `{subject: {pods: {namespaceSelector: {}, podSelector: {}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}],
		egress: [{name: x, action: Allow, to: [{nodes: {}}, {networks: ["::/0"]}], ports: [{portNumber: {port: 1}}]}]}`, &o.Spec)
	p, errs := ReadBaseline(o)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	if want := "pods | ingress (deny [pods] any port) | egress (allow [nodes] [net ::/0] TCP 1)"; p.Text() != want {
		t.Errorf("got  %s\nwant %s", p.Text(), want)
	}
	if p.Tier != "Baseline" || p.Order != 1000 || p.Ref != (policy.Ref{Dialect: policy.ClusterNetwork, Kind: BaselineKind, Name: "default"}) {
		t.Errorf("%+v in tier %s at %v", p.Ref, p.Tier, p.Order)
	}
}
