package k8s

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// object is a NetworkPolicy shop/p with the spec.
func object(t testing.TB, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("decode %s: %v", spec, err)
	}
	p.Namespace, p.Name = "shop", "p"
	return p
}

// describe is a policy in one line.
func describe(p *policy.Policy) string {
	words := []string{p.Subject.String()}
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		rules := p.In(d)
		if rules == nil {
			continue
		}
		words = append(words, "| "+d.String())
		for _, r := range rules.Rules {
			words = append(words, "("+describeRule(r)+")")
		}
	}
	return strings.Join(words, " ")
}

func describeRule(r policy.Rule) string {
	words := []string{r.Action.String()}
	if r.AnyPeer {
		words = append(words, "any peer")
	}
	for _, p := range r.Peers {
		words = append(words, "["+p.String()+"]")
	}
	if r.AnyPort {
		words = append(words, "any port")
	}
	for _, p := range r.Ports {
		words = append(words, p.String())
	}
	return strings.Join(words, " ")
}

func TestRead(t *testing.T) {
	const all = "pods namespace=shop"
	for _, row := range []struct{ name, spec, want string }{
		// Directions.
		{"nothing at all", `{}`, all + " | ingress"},
		{"types default to ingress", `{ingress: []}`, all + " | ingress"},
		{"null rules are no rules", `{ingress: null, egress: null}`, all + " | ingress"},
		{"egress rules add egress", `{egress: [{}]}`, all + " | ingress | egress (allow any peer any port)"},
		{"an empty egress list does not", `{egress: []}`, all + " | ingress"},
		{"types decide", `{policyTypes: [Egress]}`, all + " | egress"},
		{"both types", `{policyTypes: [Ingress, Egress]}`, all + " | ingress | egress"},
		{"a type twice", `{policyTypes: [Egress, Egress]}`, all + " | egress"},
		{"empty types default", `{policyTypes: [], egress: [{}]}`, all + " | ingress | egress (allow any peer any port)"},
		{"rules of a type left out have no effect", `{policyTypes: [Egress], ingress: [{}]}`, all + " | egress"},

		// Subjects.
		{"labels", `{podSelector: {matchLabels: {b: "2", a: "1"}}}`, all + " {a=1,b=2} | ingress"},
		{"empty selectors", `{podSelector: {matchLabels: {}, matchExpressions: []}}`, all + " | ingress"},
		{"all operators", `{podSelector: {matchExpressions: [
			{key: d, operator: DoesNotExist}, {key: c, operator: Exists}, {key: a, operator: In, values: [v, u]}, {key: b, operator: NotIn, values: [u, v]}]}}`,
			all + " {a in (u,v),b notin (u,v),c,!d} | ingress"},
		{"labels and expressions", `{podSelector: {matchLabels: {a: x}, matchExpressions: [{key: a, operator: Exists}]}}`, all + " {a,a=x} | ingress"},
		{"equal selectors written differently", `{podSelector: {matchLabels: {a: x}, matchExpressions: [
			{key: a, operator: In, values: [x, x]}, {key: b, operator: NotIn, values: [z]}, {key: b, operator: NotIn, values: [z]}]}}`,
			all + " {a=x,b!=z} | ingress"},
		{"an empty value", `{podSelector: {matchLabels: {a: ""}}}`, all + " {a=} | ingress"},

		// Peers.
		{"absent from and ports match all", `{ingress: [{}]}`, all + " | ingress (allow any peer any port)"},
		{"empty from and ports match all", `{ingress: [{from: [], ports: []}]}`, all + " | ingress (allow any peer any port)"},
		{"null from and ports match all", `{ingress: [{from: null, ports: null}]}`, all + " | ingress (allow any peer any port)"},
		{"a null rule matches all", `{ingress: [null]}`, all + " | ingress (allow any peer any port)"},
		{"pods of this namespace", `{ingress: [{from: [{podSelector: {matchLabels: {a: x}}}]}]}`, all + " | ingress (allow [pods namespace=shop {a=x}] any port)"},
		{"all pods of this namespace", `{ingress: [{from: [{podSelector: {}}]}]}`, all + " | ingress (allow [pods namespace=shop] any port)"},
		{"namespaces", `{ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}`, all + " | ingress (allow [pods namespaces{team=a}] any port)"},
		{"all namespaces", `{ingress: [{from: [{namespaceSelector: {}}]}]}`, all + " | ingress (allow [pods] any port)"},
		{"a null selector is absent", `{ingress: [{from: [{namespaceSelector: {}, podSelector: null}]}]}`, all + " | ingress (allow [pods] any port)"},
		{"a null namespace selector is absent", `{ingress: [{from: [{namespaceSelector: null, podSelector: {}}]}]}`, all + " | ingress (allow [pods namespace=shop] any port)"},
		{"both in one entry are AND", `{ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: b}}}]}]}`,
			all + " | ingress (allow [pods namespaces{team=a} {app=b}] any port)"},
		{"two entries are OR", `{ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}, {podSelector: {matchLabels: {app: b}}}]}]}`,
			all + " | ingress (allow [pods namespaces{team=a}] [pods namespace=shop {app=b}] any port)"},
		{"pods of all namespaces", `{ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: b}}}]}]}`, all + " | ingress (allow [pods {app=b}] any port)"},
		{"egress peers", `{policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}`, all + " | egress (allow [pods namespace=shop] any port)"},
		{"several rules keep their order", `{ingress: [{ports: [{port: 2}]}, {ports: [{port: 1}]}]}`, all + " | ingress (allow any peer TCP 2) (allow any peer TCP 1)"},

		// Blocks.
		{"a block", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`, all + " | ingress (allow [net 10.0.0.0/8] any port)"},
		{"host bits are masked", `{ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.9.9.9/16]}}]}]}`, all + " | ingress (allow [net 10.0.0.0/8 except 10.9.0.0/16] any port)"},
		{"exceptions are sorted and disjoint", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.9.0.0/16, 10.1.1.0/24, 10.1.0.0/16, 10.9.0.0/16]}}]}]}`,
			all + " | ingress (allow [net 10.0.0.0/8 except 10.1.0.0/16,10.9.0.0/16] any port)"},
		{"IPv6", `{ingress: [{from: [{ipBlock: {cidr: "2001:DB8:0::/32", except: ["2001:db8:1::/48"]}}]}]}`, all + " | ingress (allow [net 2001:db8::/32 except 2001:db8:1::/48] any port)"},
		{"one address", `{ingress: [{from: [{ipBlock: {cidr: 192.0.2.1/32}}, {ipBlock: {cidr: "::1/128"}}]}]}`, all + " | ingress (allow [net 192.0.2.1/32] [net ::1/128] any port)"},
		{"everything but one", `{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]}], policyTypes: [Egress]}`,
			all + " | egress (allow [net 0.0.0.0/0 except 169.254.169.254/32] any port)"},

		// Ports.
		{"number", `{ingress: [{ports: [{port: 80}]}]}`, all + " | ingress (allow any peer TCP 80)"},
		{"protocols", `{ingress: [{ports: [{protocol: TCP, port: 1}, {protocol: UDP, port: 53}, {protocol: SCTP, port: 65535}]}]}`,
			all + " | ingress (allow any peer TCP 1 UDP 53 SCTP 65535)"},
		{"a protocol's every port", `{ingress: [{ports: [{protocol: UDP}]}]}`, all + " | ingress (allow any peer UDP)"},
		{"nothing is TCP's every port", `{ingress: [{ports: [{}]}]}`, all + " | ingress (allow any peer TCP)"},
		{"a null port is TCP's every port", `{ingress: [{ports: [null]}]}`, all + " | ingress (allow any peer TCP)"},
		{"range", `{ingress: [{ports: [{port: 8000, endPort: 9000}]}]}`, all + " | ingress (allow any peer TCP 8000-9000)"},
		{"range of one", `{ingress: [{ports: [{port: 8000, endPort: 8000}]}]}`, all + " | ingress (allow any peer TCP 8000)"},
		{"the widest range", `{ingress: [{ports: [{port: 1, endPort: 65535}]}]}`, all + " | ingress (allow any peer TCP 1-65535)"},
		{"name", `{ingress: [{ports: [{port: http}, {port: dns, protocol: UDP}]}]}`, all + " | ingress (allow any peer TCP http UDP dns)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := object(t, row.spec)
			before := o.DeepCopy()
			p, errs := Read(o)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if got := describe(p); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if !reflect.DeepEqual(o, before) {
				t.Error("the object was changed")
			}
		})
	}
}

func TestReadIdentity(t *testing.T) {
	p, errs := Read(object(t, `{policyTypes: [Ingress, Egress]}`))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "shop", Name: "p"}
	if p.Ref != want || p.Tier != policy.NetworkPolicyTier.Name || p.Order != policy.NetworkPolicyOrder {
		t.Errorf("got %+v, tier %q, order %v", p.Ref, p.Tier, p.Order)
	}
	if !p.Ingress.Isolates || !p.Egress.Isolates {
		t.Error("a NetworkPolicy isolates in each direction that it speaks of")
	}
	if p.Subject.Pods != nil {
		t.Errorf("an empty selector is %v, want none", p.Subject.Pods)
	}
}

// The order in which a map is walked must not show: equal objects would be
// different matchers.
func TestSelectorStringIsStable(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("k%02d: v", i))
	}
	spec := `{podSelector: {matchLabels: {` + strings.Join(many, ", ") + `}, matchExpressions: [{key: k01, operator: Exists}, {key: k01, operator: NotIn, values: [a, b]}]}}`
	first, _ := Read(object(t, spec))
	for range 20 {
		if again, _ := Read(object(t, spec)); describe(again) != describe(first) {
			t.Fatalf("got %s, before %s", describe(again), describe(first))
		}
	}
}

func TestSelectorsMatchAsTheirOperatorsSay(t *testing.T) {
	for _, row := range []struct{ expression, labels, want string }{
		{`{key: a, operator: In, values: [x, w]}`, "a=x", "yes"},
		{`{key: a, operator: In, values: [x, w]}`, "a=z", "no"},
		{`{key: a, operator: In, values: [x]}`, "", "no"},
		{`{key: a, operator: NotIn, values: [x]}`, "a=x", "no"},
		{`{key: a, operator: NotIn, values: [x, w]}`, "a=z", "yes"},
		{`{key: a, operator: NotIn, values: [x]}`, "", "yes"},
		{`{key: a, operator: NotIn, values: [x, w]}`, "", "yes"},
		{`{key: a, operator: Exists}`, "a=", "yes"},
		{`{key: a, operator: Exists}`, "b=x", "no"},
		{`{key: a, operator: DoesNotExist}`, "b=x", "yes"},
		{`{key: a, operator: DoesNotExist}`, "a=", "no"},
	} {
		p, errs := Read(object(t, `{podSelector: {matchExpressions: [`+row.expression+`]}}`))
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		set, err := labels.ConvertSelectorToLabelsMap(row.labels)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Subject.Pods.Matches(set); got != (row.want == "yes") {
			t.Errorf("%s on {%s}: got %v, want %s", row.expression, row.labels, got, row.want)
		}
	}
}
