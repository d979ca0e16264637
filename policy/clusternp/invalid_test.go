package clusternp

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func messages(errs field.ErrorList) string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// expect compares errors and what is left of the policy.
func expect(t *testing.T, p *policy.Policy, errs field.ErrorList, wantErrs, want string) {
	t.Helper()
	if got := messages(errs); got != wantErrs {
		t.Errorf("errors\n got  %s\n want %s", got, wantErrs)
	}
	got := "nothing"
	if p != nil {
		got = p.Text()
	}
	if got != want {
		t.Errorf("policy\n got  %s\n want %s", got, want)
	}
}

func many(n int, item string) string { return "[" + strings.Repeat(item+",", n) + "]" }

// A rule that is not understood matches nothing if it accepts, and denies if it
// does not: everything where it is about the peers, their ports where it is about
// those.
func TestReadInvalid(t *testing.T) {
	const (
		rule     = "spec.ingress[0]"
		erule    = "spec.egress[0]"
		nothing  = "pods | ingress (allow)"
		denyAll  = "pods | ingress (deny any peer any port)"
		denyPeer = "pods | ingress (deny [pods] any port)"
		oneOf    = "give one of namespaces or pods"
		oneOfOut = "give one of namespaces, pods, nodes, networks or domainNames"
		oneOfPro = "give one of tcp, udp, sctp or destinationNamedPort"
		operator = `from[0].namespaces.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator: use In, NotIn, Exists or DoesNotExist`
		badNS    = `{namespaces: {matchExpressions: [{key: a, operator: Like}]}}`
	)
	for _, row := range []struct{ name, spec, errs, want string }{
		// The policy.
		{"unknown tier", `{tier: Middle}`, `spec.tier: Unsupported value: "Middle": supported values: "Admin", "Baseline"`, "nothing"},
		{"priority too high", `{priority: 1001}`, "spec.priority: Invalid value: 1001: must be between 0 and 1000; the lower comes first", "pods"},
		{"negative priority", `{priority: -1}`, "spec.priority: Invalid value: -1: must be between 0 and 1000; the lower comes first", "pods"},
		{"no subject", `{subject: {}}`, "spec.subject: Required value: " + oneOf, "nothing"},
		{"two subjects", `{subject: {namespaces: {}, pods: {podSelector: {}}}}`,
			"spec.subject: Forbidden: must have exactly one of namespaces or pods, has namespaces and pods: make them entries of their own", "nothing"},
		{"bad subject", `{subject: {pods: {podSelector: {matchLabels: {"a b": x}}}}}`,
			`spec.subject.pods.podSelector.matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`, "nothing"},
		{"too many rules", "{ingress: " + many(26, "{action: Pass, from: [{namespaces: {}}]}") + "}", "spec.ingress: Too many: 26: must have at most 25 items",
			"pods | ingress" + strings.Repeat(" (pass [pods] any port)", 26)},

		// Rules.
		{"unknown action", in(`{action: Allow, from: [{namespaces: {}}]}`), rule + `.action: Unsupported value: "Allow": supported values: "Accept", "Deny", "Pass"`, denyPeer},
		{"no action", in(`{from: [{namespaces: {}}]}`), rule + `.action: Unsupported value: "": supported values: "Accept", "Deny", "Pass"`, denyPeer},
		{"long name", in(`{name: ` + strings.Repeat("x", 101) + `, action: Deny, from: [{namespaces: {}}]}`), rule + ".name: Too long: may not be more than 100 bytes", denyPeer},
		{"no peers, accept", in(`{action: Accept}`), rule + ".from: Required value: list at least one peer; namespaces: {} is every pod", nothing},
		{"no peers, pass", in(`{action: Pass, from: []}`), rule + ".from: Required value: list at least one peer; namespaces: {} is every pod", denyAll},
		{"too many peers", in(`{action: Deny, from: ` + many(26, "{namespaces: {}}") + `}`), rule + ".from: Too many: 26: must have at most 25 items",
			"pods | ingress (deny" + strings.Repeat(" [pods]", 26) + " any port)"},

		// Peers.
		{"unknown peer, accept", in(`{action: Accept, from: [{namespaces: {}}, {}]}`), rule + ".from[1]: Required value: " + oneOf, nothing},
		{"unknown peer, deny", in(`{action: Deny, from: [{}]}`), rule + ".from[0]: Required value: " + oneOf, denyAll},
		{"unknown peer, pass", in(`{action: Pass, from: [{}], protocols: [{tcp: {destinationPort: {number: 1}}}]}`), rule + ".from[0]: Required value: " + oneOf, denyAll},
		{"two peers in one", out(`{action: Accept, to: [{namespaces: {}, nodes: {}}]}`),
			erule + ".to[0]: Forbidden: must have exactly one of namespaces, pods, nodes, networks or domainNames, has namespaces and nodes: make them entries of their own", "pods | egress (allow)"},
		{"bad selector, accept", in(`{action: Accept, from: [` + badNS + `]}`), rule + "." + operator, nothing},
		{"bad selector, pass", in(`{action: Pass, from: [` + badNS + `]}`), rule + "." + operator, denyAll},
		{"unknown egress peer", out(`{action: Deny, to: [{}]}`), erule + ".to[0]: Required value: " + oneOfOut, "pods | egress (deny any peer any port)"},

		// Networks.
		{"no networks", out(`{action: Deny, to: [{networks: []}]}`), erule + ".to[0].networks: Required value: list at least one block, for example 10.0.0.0/8", "pods | egress (deny any peer any port)"},
		{"bad network", out(`{action: Accept, to: [{networks: [10.0.0.0/8, 10.0.0.1]}]}`),
			erule + `.to[0].networks[1]: Invalid value: "10.0.0.1": must be a CIDR: for this one address write 10.0.0.1/32`, "pods | egress (allow)"},
		{"networks twice", out(`{action: Deny, to: [{networks: [10.0.0.0/8, 10.0.0.0/8]}]}`), erule + `.to[0].networks[1]: Duplicate value: "10.0.0.0/8"`, "pods | egress (deny [net 10.0.0.0/8] [net 10.0.0.0/8] any port)"},

		// Names.
		{"names for deny", out(`{action: Deny, to: [{domainNames: [a.b]}]}`), erule + ".to[0].domainNames: Forbidden: is for rules that accept only: the names' other addresses would be let through", "pods | egress (deny any peer any port)"},
		{"one label", out(`{action: Accept, to: [{domainNames: [localhost]}]}`),
			erule + `.to[0].domainNames[0]: Invalid value: "localhost": must be a domain name of two labels or more; * may only be the first label`, "pods | egress (allow)"},
		{"a star inside", out(`{action: Accept, to: [{domainNames: ["a.*.b"]}]}`),
			erule + `.to[0].domainNames[0]: Invalid value: "a.*.b": must be a domain name of two labels or more; * may only be the first label`, "pods | egress (allow)"},

		// Protocols.
		{"no protocols", in(`{action: Accept, from: [{namespaces: {}}], protocols: []}`), rule + ".protocols: Required value: list at least one, or remove the field for every port", nothing},
		{"unknown protocol", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{}]}`), rule + ".protocols[0]: Required value: " + oneOfPro, denyPeer},
		{"two protocols in one", in(`{action: Pass, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 1}}, destinationNamedPort: x}]}`),
			rule + ".protocols[0]: Forbidden: must have exactly one of tcp, udp, sctp or destinationNamedPort, has tcp and destinationNamedPort: make them entries of their own", denyPeer},
		{"no port", in(`{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {}}]}`),
			rule + ".protocols[0].tcp.destinationPort: Required value: give a number, or for every port range: {start: 1, end: 65535}", nothing},
		{"neither number nor range", in(`{action: Accept, from: [{namespaces: {}}], protocols: [{udp: {destinationPort: {}}}]}`),
			rule + ".protocols[0].udp.destinationPort: Required value: give one of number or range", nothing},
		{"number and range", in(`{action: Accept, from: [{namespaces: {}}], protocols: [{udp: {destinationPort: {number: 1, range: {start: 1, end: 2}}}}]}`),
			rule + ".protocols[0].udp.destinationPort: Forbidden: must have exactly one of number or range, has number and range: make them entries of their own", nothing},
		{"port too high", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{sctp: {destinationPort: {number: 65536}}}]}`),
			rule + ".protocols[0].sctp.destinationPort.number: Invalid value: 65536: must be between 1 and 65535, inclusive", denyPeer},
		{"range of one", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 5, end: 5}}}}]}`),
			rule + ".protocols[0].tcp.destinationPort.range.end: Invalid value: 5: must be greater than start: give one port as number", denyPeer},
		{"reversed range", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 6, end: 5}}}}]}`),
			rule + ".protocols[0].tcp.destinationPort.range.end: Invalid value: 5: must be greater than start (6): exchange the two", denyPeer},
		{"range from zero", in(`{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {end: 5}}}}]}`),
			rule + ".protocols[0].tcp.destinationPort.range.start: Invalid value: 0: must be between 1 and 65535, inclusive", denyPeer},
		{"a name for networks", out(`{action: Accept, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: http}]}`),
			erule + ": Forbidden: networks, nodes and domainNames have no named ports: give the ports' numbers, or make two rules", "pods | egress (allow)"},
		{"a good rule beside a bad one", in(`{action: Accept, from: [{}]}, {action: Deny, from: [{namespaces: {}}]}`), rule + ".from[0]: Required value: " + oneOf,
			"pods | ingress (allow) (deny [pods] any port)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := Read(object(t, row.spec))
			expect(t, p, errs, row.errs, row.want)
		})
	}
}

func TestReadInvalidMetadata(t *testing.T) {
	o := object(t, `{}`)
	o.Name = "Not_A_Name"
	if p, errs := Read(o); p != nil || len(errs) != 1 || errs[0].Field != "metadata.name" {
		t.Errorf("%v, %v", p, errs)
	}
	o.Name = ""
	if p, errs := Read(o); p != nil || len(errs) == 0 {
		t.Errorf("%v, %v", p, errs)
	}
	o.Name, o.Namespace = "p", "shop"
	if p, errs := Read(o); p != nil || len(errs) != 1 || errs[0].Field != "metadata.namespace" {
		t.Errorf("%v, %v", p, errs)
	}
}

func TestReadInvalidAlpha1(t *testing.T) {
	const rule = "spec.egress[0]"
	for _, row := range []struct{ rule, errs, want string }{
		{`{action: Accept, to: [{namespaces: {}}]}`, rule + `.action: Unsupported value: "Accept": supported values: "Allow", "Deny", "Pass"`, "pods | egress (deny [pods] any port)"},
		{`{action: Allow, to: [{namespaces: {}}], ports: [{}]}`, rule + ".ports[0]: Required value: give one of portNumber, portRange or namedPort", "pods | egress (allow)"},
		{`{action: Deny, to: [{namespaces: {}}], ports: [{portNumber: {protocol: ICMP, port: 1}}]}`,
			rule + `.ports[0].portNumber.protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"`, "pods | egress (deny [pods] any port)"},
		{`{action: Pass, to: [{namespaces: {}}], ports: [{portRange: {start: 9, end: 8}}, {namedPort: ""}]}`,
			rule + ".ports[0].portRange.end: Invalid value: 8: must be greater than start (9): exchange the two; " + rule + ".ports[1].namedPort: Required value: give the name of a container port", "pods | egress (deny [pods] any port)"},
		{`{action: Deny, to: ` + many(101, "{nodes: {}}") + `}`, rule + ".to: Too many: 101: must have at most 100 items", "pods | egress (deny" + strings.Repeat(" [nodes]", 101) + " any port)"},
	} {
		o := &v1alpha1.AdminNetworkPolicy{}
		o.Name = "p"
		decode(t, out(row.rule), &o.Spec)
		decode(t, "{namespaces: {}}", &o.Spec.Subject)
		p, errs := ReadAdmin(o)
		expect(t, p, errs, row.errs, row.want)
	}
	o := &v1alpha1.BaselineAdminNetworkPolicy{}
	o.Name = "other"
	decode(t, `{subject: {namespaces: {}}, ingress: [{action: Pass, from: [{namespaces: {}}]}]}`, &o.Spec)
	p, errs := ReadBaseline(o)
	expect(t, p, errs, `metadata.name: Invalid value: "other": must be "default": there is one BaselineAdminNetworkPolicy in a cluster; `+
		`spec.ingress[0].action: Unsupported value: "Pass": supported values: "Allow", "Deny"`, "pods | ingress (deny [pods] any port)")
}

// Whatever is written, the reader ends, and what it did not understand lets
// nothing through: without errors it reads the same again.
func FuzzRead(f *testing.F) {
	for _, spec := range []string{
		`{"tier":"Admin","priority":3,"subject":{"namespaces":{}},"ingress":[{"action":"Pass","from":[{"pods":{"podSelector":{}}}],"protocols":[{"tcp":{"destinationPort":{"number":80}}}]}]}`,
		`{"tier":"Baseline","subject":{"pods":{"podSelector":{"matchLabels":{"a":"b"}}}},"egress":[{"action":"Accept","to":[{"networks":["::/0"]},{"domainNames":["a.b"]},{"nodes":{}}]}]}`,
		`{"tier":"Admin","subject":{},"egress":[{"action":"Deny","to":[{}],"protocols":[{"destinationNamedPort":"x"}]}]}`,
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		o := &v1alpha2.ClusterNetworkPolicy{}
		o.Name = "p"
		if decodeLoosely(spec, &o.Spec) != nil {
			return
		}
		p, errs := Read(o)
		if p == nil && len(errs) == 0 {
			t.Fatal("neither a policy nor an error")
		}
		if p == nil {
			return
		}
		again, _ := Read(o)
		if p.Text() != again.Text() {
			t.Fatalf("read twice: %s and %s", p.Text(), again.Text())
		}
		for _, rules := range []*policy.Rules{p.Ingress, p.Egress} {
			checkClosed(t, rules, errs)
		}
	})
}

func checkClosed(t *testing.T, rules *policy.Rules, errs field.ErrorList) {
	if rules == nil {
		return
	}
	for _, r := range rules.Rules {
		if r.AnyPeer && r.Action != policy.Deny {
			t.Fatalf("%s: no peer of the API is everybody", r)
		}
		if r.Action == policy.Pass && len(r.Peers) == 0 || len(errs) == 0 && r.Action != policy.Allow && len(r.Peers) == 0 {
			t.Fatalf("%s: matches nothing", r)
		}
	}
}
