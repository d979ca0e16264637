package cilium

import (
	"reflect"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func decode(t testing.TB, text string, object any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
}

// readIn reads the CiliumNetworkPolicy shop/p, readWide the
// CiliumClusterwideNetworkPolicy p; both of one spec.
func readIn(t testing.TB, spec string) (*policy.Policy, field.ErrorList) {
	t.Helper()
	object := &NetworkPolicy{Spec: &Rule{}}
	object.Namespace, object.Name = "shop", "p"
	decode(t, spec, object.Spec)
	return single(Read(object))
}

func readWide(t testing.TB, spec string) (*policy.Policy, field.ErrorList) {
	t.Helper()
	object := &ClusterwideNetworkPolicy{Spec: &Rule{}}
	object.Name = "p"
	decode(t, spec, object.Spec)
	return single(ReadClusterwide(object))
}

func single(policies []*policy.Policy, errs field.ErrorList) (*policy.Policy, field.ErrorList) {
	if len(policies) == 0 {
		return nil, errs
	}
	return policies[0], errs
}

// in and out are policies of one rule for all pods.
func in(rule string) string  { return "{endpointSelector: {}, ingress: [" + rule + "]}" }
func out(rule string) string { return "{endpointSelector: {}, egress: [" + rule + "]}" }
func deny(rule string) string {
	return "{endpointSelector: {}, egressDeny: [" + rule + "]}"
}

// rules are those of a policy's only direction.
func rules(p *policy.Policy) *policy.Rules {
	if p.Ingress != nil {
		return p.Ingress
	}
	return p.Egress
}

func TestReadPolicy(t *testing.T) {
	const shop = "pods namespace=shop"
	for _, row := range []struct{ name, spec, want string }{
		{"an empty rule only isolates", in(`{}`), shop + " | ingress isolates (allow)"},
		{"a list without rules has no effect", `{endpointSelector: {}, ingress: [], egress: [{}]}`, shop + " | egress isolates (allow)"},
		{"what denies isolates too", deny(`{toEntities: [world]}`), shop + " | egress isolates (deny [not nodes and not pods] any port)"},
		{"no default deny", `{endpointSelector: {}, enableDefaultDeny: {egress: false}, egressDeny: [{toEntities: [all]}]}`,
			shop + " | egress (deny any peer any port)"},
		{"default deny of a direction without rules", `{endpointSelector: {}, enableDefaultDeny: {ingress: true, egress: true}, ingress: [{fromEntities: [all]}]}`,
			shop + " | ingress isolates (allow any peer any port)"},
		{"both directions", `{endpointSelector: {}, ingress: [{}], egress: [{}]}`, shop + " | ingress isolates (allow) | egress isolates (allow)"},
		{"labels with sources", `{endpointSelector: {matchLabels: {app: a, "k8s:tier": b, "any:x": c}}, ingress: [{}]}`,
			shop + " {app=a,tier=b,x=c} | ingress isolates (allow)"},
		{"another namespace is ignored", `{endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": other}}, ingress: [{}]}`,
			shop + " | ingress isolates (allow)"},
		{"but not in an expression", `{endpointSelector: {matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: In, values: [other]}]}, ingress: [{}]}`,
			"pods namespace=other namespaces{kubernetes.io/metadata.name=shop} | ingress isolates (allow)"},
		{"nor without its source", `{endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: other}}, ingress: [{}]}`,
			"pods namespace=other namespaces{kubernetes.io/metadata.name=shop} | ingress isolates (allow)"},
		{"reserved endpoints that do not exist", `{endpointSelector: {matchLabels: {"reserved:health": ""}}, ingress: [{}]}`, "pods"},
		{"labels of another source", `{endpointSelector: {matchLabels: {"container:a": b}}, ingress: [{}]}`, "pods"},
		{"service account", `{endpointSelector: {matchLabels: {app: a, io.cilium.k8s.policy.serviceaccount: s}}, ingress: [{}]}`,
			shop + " {app=a,io.cilium.k8s.policy.serviceaccount=s} | ingress isolates (allow)"},
		{"cluster", `{endpointSelector: {matchLabels: {io.cilium.k8s.policy.cluster: default}}, ingress: [{}]}`, shop + " | ingress isolates (allow)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := readIn(t, row.spec)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if p.Text() != row.want {
				t.Errorf("got  %s\nwant %s", p.Text(), row.want)
			}
			if len(p.Gaps) > 0 {
				t.Errorf("gaps %v", p.Gaps)
			}
		})
	}
}

func TestReadClusterwidePolicy(t *testing.T) {
	for _, row := range []struct{ name, spec, want string }{
		{"everything", in(`{}`), "pods | ingress isolates (allow)"},
		{"a namespace", `{endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": a, app: b}}, ingress: [{}]}`,
			"pods namespace=a {app=b} | ingress isolates (allow)"},
		{"namespaces", `{endpointSelector: {matchExpressions: [{key: io.kubernetes.pod.namespace, operator: NotIn, values: [a, b]}]}, ingress: [{}]}`,
			"pods namespaces{kubernetes.io/metadata.name notin (a,b)} | ingress isolates (allow)"},
		{"labels of namespaces", `{endpointSelector: {matchLabels: {"k8s:io.cilium.k8s.namespace.labels.team": a}}, ingress: [{}]}`,
			"pods namespaces{team=a} | ingress isolates (allow)"},
		{"peers of all namespaces", in(`{fromEndpoints: [{}]}`), "pods | ingress isolates (allow [pods] any port)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := readWide(t, row.spec)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if p.Text() != row.want {
				t.Errorf("got  %s\nwant %s", p.Text(), row.want)
			}
		})
	}
}

func TestReadPeers(t *testing.T) {
	const own = "[pods namespace=shop] "
	for _, row := range []struct{ name, spec, want string }{
		{"own namespace", in(`{fromEndpoints: [{}]}`), "allow " + own + "any port"},
		{"nobody", in(`{fromEndpoints: []}`), "allow"},
		{"nobody on a port", in(`{fromEndpoints: [], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}`), "allow TCP 80"},
		{"no blocks", in(`{fromCIDR: [], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}`), "allow TCP 80"},
		{"everybody on a port", in(`{toPorts: [{ports: [{port: "80", protocol: TCP}]}]}`), "allow any peer TCP 80"},
		{"an empty list of names is none", out(`{toFQDNs: [], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}`), "allow any peer TCP 80"},
		{"another namespace", in(`{fromEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": a, app: b}}]}`), "allow [pods namespace=a {app=b}] any port"},
		{"all namespaces", in(`{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: Exists}]}]}`),
			"allow [pods] any port"},
		{"labels of namespaces", in(`{fromEndpoints: [{matchLabels: {"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name": a}}]}`),
			"allow [pods namespaces{kubernetes.io/metadata.name=a}] any port"},
		{"without a label of the namespace", in(`{fromEndpoints: [{matchExpressions: [{key: "io.cilium.k8s.namespace.labels.team", operator: DoesNotExist}]}]}`),
			"allow [pods namespaces{!team}] any port"},
		{"all operators", in(`{fromEndpoints: [{matchExpressions: [{key: d, operator: DoesNotExist}, {key: c, operator: Exists}, {key: b, operator: NotIn, values: [z, v]}, {key: a, operator: In, values: [x, w]}]}]}`),
			"allow [pods namespace=shop {a in (w,x),b notin (v,z),c,!d}] any port"},
		{"service accounts", in(`{fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.policy.serviceaccount, operator: NotIn, values: [b, a]}]}]}`),
			"allow [pods namespace=shop {io.cilium.k8s.policy.serviceaccount notin (a,b)}] any port"},
		{"no such namespace", in(`{fromEndpoints: [{matchExpressions: [{key: "k8s:io.kubernetes.pod.namespace", operator: DoesNotExist}]}]}`),
			"allow [pods namespaces{!kubernetes.io/metadata.name}] any port"},

		{"own node", in(`{fromEndpoints: [{matchLabels: {"reserved:host": ""}}]}`), "allow [own node] any port"},
		{"other nodes by label", in(`{fromEndpoints: [{matchLabels: {"reserved:remote-node": "", zone: a}}]}`), "allow [other nodes {zone=a}] any port"},
		{"all but the own node", in(`{fromEndpoints: [{matchExpressions: [{key: "reserved:host", operator: DoesNotExist}]}]}`),
			"allow [pods] [other nodes] [not nodes and not pods] any port"},
		{"the world's IPv6", out(`{toEndpoints: [{matchLabels: {"reserved:world-ipv6": ""}}]}`), "allow [net ::/0 and not nodes and not pods] any port"},
		{"a reserved label with a value", in(`{fromEndpoints: [{matchLabels: {"reserved:host": x}}]}`), "allow any port"},
		{"pods alone have a namespace", in(`{fromEndpoints: [{matchLabels: {"reserved:host": "", "k8s:io.kubernetes.pod.namespace": a}}]}`), "allow any port"},

		{"block", in(`{fromCIDR: [10.1.2.3/8]}`), "allow [net 10.0.0.0/8 and not nodes and not pods] any port"},
		{"address", out(`{toCIDR: ["2001:DB8::1", 1.2.3.4]}`), "allow [net 2001:db8::1/128 and not nodes and not pods] [net 1.2.3.4/32 and not nodes and not pods] any port"},
		{"exceptions", out(`{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.9.0.0/16, 10.1.0.0/16, 10.1.1.0/24]}]}`),
			"allow [net 10.0.0.0/8 except 10.1.0.0/16,10.9.0.0/16 and not nodes and not pods] any port"},
		{"group", out(`{toCIDRSet: [{cidrGroupRef: office, except: [10.1.0.0/16]}]}`),
			"allow [cilium networks name=office and not net 10.1.0.0/16 and not nodes and not pods] any port"},
		{"groups by labels", out(`{toCIDRSet: [{cidrGroupSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: NotIn, values: [d]}, {key: e, operator: DoesNotExist}]}}]}`),
			"allow [cilium networks {a=b} and not cilium networks {c=d} and not cilium networks {e} and not nodes and not pods] any port"},

		{"all", in(`{fromEntities: [all]}`), "allow any peer any port"},
		{"none", in(`{fromEntities: [none, init, health, ingress, unmanaged]}`), "allow any port"},
		{"cluster", in(`{fromEntities: [cluster]}`), "allow [pods] [nodes] [backends of services namespace=default name=kubernetes] any port"},
		{"cluster mesh", in(`{fromEntities: [cluster-mesh]}`), "allow [pods] [nodes] [backends of services namespace=default name=kubernetes] any port"},
		{"nodes", in(`{fromEntities: [host, remote-node]}`), "allow [own node] [other nodes] any port"},
		{"world", in(`{fromEntities: [world]}`), "allow [not nodes and not pods] any port"},
		{"the world of a family", out(`{toEntities: [world-ipv4]}`), "allow [net 0.0.0.0/0 and not nodes and not pods] any port"},

		{"API server", in(`{fromEntities: [kube-apiserver]}`), "allow [backends of services namespace=default name=kubernetes] any port"},
		{"API server by label", out(`{toEndpoints: [{matchLabels: {"reserved:kube-apiserver": "", "reserved:remote-node": ""}}]}`),
			"allow [other nodes and backends of services namespace=default name=kubernetes] any port"},
		{"nodes but the API server's", out(`{toEndpoints: [{matchExpressions: [{key: "reserved:remote-node", operator: Exists}, {key: "reserved:kube-apiserver", operator: DoesNotExist}]}]}`),
			"allow [other nodes and not backends of services namespace=default name=kubernetes] any port"},
		{"service", out(`{toServices: [{k8sService: {serviceName: a, namespace: b}}, {k8sService: {serviceName: c}}]}`),
			"allow [backends of services namespace=b name=a and not nodes] [backends of services name=c and not nodes] any port"},
		{"services by label", out(`{toServices: [{k8sServiceSelector: {selector: {matchLabels: {a: b}}, namespace: c}}]}`),
			"allow [backends of services namespace=c {a=b} and not nodes] any port"},

		{"nodes by label", in(`{fromNodes: [{matchLabels: {zone: a}}]}`), "allow [other nodes {zone=a}] any port"},
		{"all other nodes", out(`{toNodes: [{}]}`), "allow [other nodes] any port"},
		{"not the own node", out(`{toNodes: [{matchLabels: {"reserved:host": ""}}]}`), "allow any port"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := readIn(t, row.spec)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if got := rules(p).Rules[0].String(); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
			if len(p.Gaps) > 0 {
				t.Errorf("gaps %v", p.Gaps)
			}
		})
	}
}

func TestReadPorts(t *testing.T) {
	for _, row := range []struct{ ports, want string }{
		{`toPorts: []`, "allow"},
		{`toPorts: [{}]`, "allow"},
		{`toPorts: [{ports: []}]`, "allow"},
		{`toPorts: [{ports: [{port: "80", protocol: UDP}, {port: "90"}]}]`, "allow any peer UDP 80 TCP 90 UDP 90 SCTP 90"},
		{`toPorts: [{ports: [{port: "80", protocol: TCP}]}, {ports: [{port: "0", protocol: SCTP}]}]`, "allow any peer TCP 80 SCTP"},
		{`toPorts: [{ports: [{port: "0", protocol: ANY}]}]`, "allow any peer TCP UDP SCTP"},
		{`toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}]}]`, "allow any peer TCP 80-90"},
		{`toPorts: [{ports: [{port: "80", endPort: 80, protocol: TCP}]}]`, "allow any peer TCP 80"},
		{`toPorts: [{ports: [{port: "80", endPort: 70, protocol: TCP}]}]`, "allow any peer TCP 80"},
		{`toPorts: [{ports: [{port: "010", protocol: TCP}]}]`, "allow any peer TCP 8"},
		{`toPorts: [{ports: [{port: HTTP-8080, protocol: TCP}]}]`, "allow any peer TCP http-8080"},
		{`toPorts: [{ports: [{port: dns}]}]`, "allow any peer TCP dns UDP dns SCTP dns"},
		{`toPorts: [{ports: [{protocol: GRE}, {port: "0", protocol: ESP}]}]`, "allow any peer 47 50"},
		{`toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: []}}]`, "allow any peer TCP 80"},
		{`icmps: [{fields: []}]`, "allow"},
		{`icmps: [{fields: [{type: 8}, {type: EchoReply}]}]`, "allow any peer ICMP type 8 ICMP type 0"},
		{`icmps: [{fields: [{type: EchoRequest, family: IPv4}]}, {fields: [{type: EchoRequest, family: IPv6}]}]`, "allow any peer ICMP type 8 ICMPv6 type 128"},
	} {
		p, errs := readIn(t, in("{"+row.ports+"}"))
		if len(errs) > 0 {
			t.Errorf("%s: %v", row.ports, errs.ToAggregate())
			continue
		}
		if got := p.Ingress.Rules[0].String(); got != row.want {
			t.Errorf("%s: %s, want %s", row.ports, got, row.want)
		}
	}
}

// Rules have the numbers of the API's lists; those that cannot, their name.
func TestReadNames(t *testing.T) {
	p, errs := readIn(t, `{endpointSelector: {}, ingress: [{fromEntities: [all]}, {fromEntities: [world]}], ingressDeny: [{fromEntities: [remote-node]}]}`)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	var names []string
	for _, r := range p.Ingress.Rules {
		names = append(names, r.Name)
	}
	if want := []string{"", "", "ingressDeny[0]"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
}

func TestReadSpecs(t *testing.T) {
	object := &NetworkPolicy{}
	decode(t, `{metadata: {name: p, namespace: shop}, spec: {endpointSelector: {}, ingress: [{}]},
		specs: [{endpointSelector: {}, egress: [{}]}, {ingress: [{}]}, {endpointSelector: {}, egressDeny: [{}]}]}`, object)
	policies, errs := Read(object)
	var got []string
	for _, p := range policies {
		if p.Dialect != policy.Cilium || p.Kind != Kind || p.Tier != policy.NetworkPolicyTier.Name {
			t.Errorf("%+v", p)
		}
		got = append(got, p.Ref.String())
	}
	if want := []string{"shop/p", "shop/p specs[0]", "shop/p specs[2]"}; !slices.Equal(got, want) {
		t.Errorf("policies %q, want %q", got, want)
	}
	if len(errs) != 1 || errs[0].Field != "specs[1].endpointSelector" {
		t.Errorf("errors %v", errs)
	}
}

func TestReadCIDRGroup(t *testing.T) {
	for _, row := range []struct{ object, want, errs string }{
		{`{metadata: {name: g, labels: {a: b}}, spec: {externalCIDRs: [10.9.0.0/16, 10.1.2.3/8, "2001:db8::/32"]}}`, "[10.0.0.0/8 2001:db8::/32]", ""},
		{`{metadata: {name: g}, spec: {externalCIDRs: []}}`, "[]", ""},
		{`{metadata: {name: g}, spec: {}}`, "[]", "spec.externalCIDRs: Required value: list the blocks; [] is none"},
		{`{metadata: {name: g}, spec: {externalCIDRs: [10.0.0.1, 10.0.0.0/8]}}`, "[10.0.0.0/8]",
			`spec.externalCIDRs[0]: Invalid value: "10.0.0.1": must be a CIDR: for this one address write 10.0.0.1/32`},
	} {
		object := &CIDRGroup{}
		decode(t, row.object, object)
		n, errs := ReadCIDRGroup(object)
		if got := n.Ref.String(); got != "g" || n.Dialect != policy.Cilium || !reflect.DeepEqual(n.Labels, object.Labels) {
			t.Errorf("%s: %+v", row.object, n)
		}
		if got := formatPrefixes(n); got != row.want {
			t.Errorf("%s: %s, want %s", row.object, got, row.want)
		}
		if got := messages(errs); got != row.errs {
			t.Errorf("%s: %s, want %s", row.object, got, row.errs)
		}
	}
	if n, errs := ReadCIDRGroup(&CIDRGroup{}); n != nil || len(errs) == 0 {
		t.Errorf("without a name: %+v, %v", n, errs)
	}
}
