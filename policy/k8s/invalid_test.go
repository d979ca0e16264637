package k8s

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func messages(errs field.ErrorList) []string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	slices.Sort(all)
	return all
}

// What is wrong is named by its field, and what stands beside it is kept: the
// rest denies rather than allows too much.
func TestReadInvalid(t *testing.T) {
	const (
		in   = "spec.ingress[0]"
		left = "pods namespace=shop | ingress "
	)
	for _, row := range []struct{ name, spec, errs, want string }{
		// Ports.
		{"port zero", `{ingress: [{ports: [{port: 0}]}]}`, in + ".ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive", left + "(allow any peer)"},
		{"port too high", `{ingress: [{ports: [{port: 65536}, {port: 1}]}]}`, in + ".ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive", left + "(allow any peer TCP 1)"},
		{"negative port", `{ingress: [{ports: [{port: -1}]}]}`, in + ".ports[0].port: Invalid value: -1: must be between 1 and 65535, inclusive", left + "(allow any peer)"},
		{"reversed range", `{ingress: [{ports: [{port: 1}, {port: 80, endPort: 70}]}]}`, in + ".ports[1].endPort: Invalid value: 70: must be at least port (80): exchange the two", left + "(allow any peer TCP 1)"},
		{"end of range too high", `{ingress: [{ports: [{port: 80, endPort: 65536}]}]}`, in + ".ports[0].endPort: Invalid value: 65536: must be between 1 and 65535, inclusive", left + "(allow any peer)"},
		{"range of a name", `{ingress: [{ports: [{port: http, endPort: 90}]}]}`, in + ".ports[0].endPort: Invalid value: 90: may not be specified when `port` is a name: give both as numbers", left + "(allow any peer)"},
		{"range without start", `{ingress: [{ports: [{endPort: 90}]}]}`, in + ".ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified: set port to the first port of the range", left + "(allow any peer)"},
		{"quoted number", `{ingress: [{ports: [{port: "80"}]}]}`, in + `.ports[0].port: Invalid value: "80": is a number in quotes, which would be a port's name: remove the quotes`, left + "(allow any peer)"},
		{"bad name", `{ingress: [{ports: [{port: Web_1}]}]}`, in + `.ports[0].port: Invalid value: "Web_1": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`, left + "(allow any peer)"},
		{"long name", `{ingress: [{ports: [{port: sixteenletters-x}]}]}`, in + `.ports[0].port: Invalid value: "sixteenletters-x": must be no more than 15 characters`, left + "(allow any peer)"},
		{"protocol", `{ingress: [{ports: [{protocol: ICMP}, {protocol: tcp, port: 80}]}]}`,
			in + `.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"; ` + in + `.ports[1].protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"`, left + "(allow any peer)"},
		{"every fault of a port", `{ingress: [{ports: [{protocol: x, port: 70000, endPort: 0}]}]}`,
			in + ".ports[0].endPort: Invalid value: 0: must be between 1 and 65535, inclusive; " + in + ".ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive; " +
				in + `.ports[0].protocol: Unsupported value: "x": supported values: "TCP", "UDP", "SCTP"`, left + "(allow any peer)"},

		// Peers.
		{"empty peer", `{ingress: [{from: [{}]}]}`, in + ".from[0]: Required value: must specify a peer: podSelector, namespaceSelector or ipBlock (podSelector: {} is every pod of this namespace)", left + "(allow any port)"},
		{"null peer beside a good one", `{ingress: [{from: [null, {podSelector: {}}]}]}`, in + ".from[0]: Required value: must specify a peer: podSelector, namespaceSelector or ipBlock (podSelector: {} is every pod of this namespace)", left + "(allow [pods namespace=shop] any port)"},
		{"block and selector", `{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}], policyTypes: [Egress]}`,
			"spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer: make them two entries of the list", "pods namespace=shop | egress (allow any port)"},
		{"rules without effect are checked too", `{policyTypes: [Ingress], egress: [{to: [{}]}]}`,
			"spec.egress[0].to[0]: Required value: must specify a peer: podSelector, namespaceSelector or ipBlock (podSelector: {} is every pod of this namespace)", "pods namespace=shop | ingress"},

		// Blocks.
		{"no cidr", `{ingress: [{from: [{ipBlock: {cidr: ""}}]}]}`, in + ".from[0].ipBlock.cidr: Required value: give the block, for example 10.9.8.0/24 or 2001:db8::/64", left + "(allow any port)"},
		{"address without length", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}`, in + `.from[0].ipBlock.cidr: Invalid value: "10.0.0.1": must be a CIDR: for this one address write 10.0.0.1/32`, left + "(allow any port)"},
		{"length too long", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}`, in + `.from[0].ipBlock.cidr: Invalid value: "10.0.0.0/33": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`, left + "(allow any port)"},
		{"nonsense", `{ingress: [{from: [{ipBlock: {cidr: example.org}}]}]}`, in + `.from[0].ipBlock.cidr: Invalid value: "example.org": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`, left + "(allow any port)"},
		{"leading zeros", `{ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}]}`, in + `.from[0].ipBlock.cidr: Invalid value: "010.0.0.0/8": must not have leading zeros: write 10.0.0.0/8`, left + "(allow any port)"},
		{"IPv4 in IPv6", `{ingress: [{from: [{ipBlock: {cidr: "::ffff:10.0.0.0/104"}}]}]}`, in + `.from[0].ipBlock.cidr: Invalid value: "::ffff:10.0.0.0/104": must not be an IPv4-mapped IPv6 address: write the block as IPv4`, left + "(allow any port)"},
		{"except outside", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}`, in + ".from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`: it is outside 10.0.0.0/8, so remove it or widen the block", left + "(allow any port)"},
		{"except wider", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.0.0/8]}}]}]}`, in + ".from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`: it is outside 10.0.0.0/16, so remove it or widen the block", left + "(allow any port)"},
		{"except is all", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}`, in + ".from[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`: it leaves nothing of the block, so remove the entry", left + "(allow any port)"},
		{"except of the other family", `{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: ["fd00::/8"]}}]}]}`, in + `.from[0].ipBlock.except[0]: Invalid value: "fd00::/8": must be of the same address family as cidr 0.0.0.0/0: move it to a block of its own family`, left + "(allow any port)"},
		{"except nonsense, second", `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, x]}}]}]}`, in + `.from[0].ipBlock.except[1]: Invalid value: "x": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`, left + "(allow any port)"},

		// Selectors.
		{"unknown operator", `{ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Equals, values: [x]}]}}]}]}`,
			in + `.from[0].podSelector.matchExpressions[0].operator: Invalid value: "Equals": not a valid selector operator: use In, NotIn, Exists or DoesNotExist`, left + "(allow any port)"},
		{"operator in lower case", `{ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: notin, values: [x]}]}}]}]}`,
			in + `.from[0].podSelector.matchExpressions[0].operator: Invalid value: "notin": not a valid selector operator: use In, NotIn, Exists or DoesNotExist, here probably NotIn`, left + "(allow any port)"},
		{"In without values", `{ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}]}]}`,
			in + ".from[0].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn': list at least one, or use Exists or DoesNotExist", left + "(allow any port)"},
		{"Exists with values", `{ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [x]}]}}]}]}`,
			in + ".from[0].namespaceSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist': remove them, or use In or NotIn", left + "(allow any port)"},
		{"a good half does not save an entry", `{ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: In}]}, podSelector: {matchLabels: {a: b}}}]}]}`,
			in + ".from[0].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn': list at least one, or use Exists or DoesNotExist", left + "(allow any port)"},

		// Directions.
		{"unknown type", `{policyTypes: [Ingress, egress]}`, `spec.policyTypes[1]: Unsupported value: "egress": supported values: "Ingress", "Egress"`, "pods namespace=shop | ingress"},
		{"three types", `{policyTypes: [Ingress, Egress, Ingress]}`, `spec.policyTypes: Too many: 3: must have at most 2 items`, "pods namespace=shop | ingress | egress"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := Read(object(t, row.spec))
			if got := strings.Join(messages(errs), "; "); got != row.errs {
				t.Errorf("got  %s\nwant %s", got, row.errs)
			}
			if p == nil {
				t.Fatal("no policy")
			}
			if got := describe(p); got != row.want {
				t.Errorf("left over\ngot  %s\nwant %s", got, row.want)
			}
		})
	}
}

// Where the API's own messages are long, their beginning tells.
func TestReadInvalidLabels(t *testing.T) {
	for _, row := range []struct{ spec, field string }{
		{`{podSelector: {matchLabels: {"a b": x}}}`, "spec.podSelector.matchLabels"},
		{`{podSelector: {matchLabels: {"": x}}}`, "spec.podSelector.matchLabels"},
		{`{podSelector: {matchLabels: {a: "x y"}}}`, "spec.podSelector.matchLabels"},
		{`{podSelector: {matchLabels: {a: ` + strings.Repeat("x", 64) + `}}}`, "spec.podSelector.matchLabels"},
		{`{podSelector: {matchExpressions: [{key: "-", operator: Exists}]}}`, "spec.podSelector.matchExpressions[0].key"},
		{`{podSelector: {matchExpressions: [{key: a, operator: In, values: [ok, "not ok"]}]}}`, "spec.podSelector.matchExpressions[0].values[1]"},
		{`{podSelector: {matchExpressions: [{operator: Exists}]}}`, "spec.podSelector.matchExpressions[0].key"},
	} {
		p, errs := Read(object(t, row.spec))
		if p != nil {
			t.Errorf("%s: a policy of which nobody knows whom it protects", row.spec)
		}
		if len(errs) == 0 || slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Field != row.field }) {
			t.Errorf("%s: got %v, want errors at %s", row.spec, errs, row.field)
		}
	}
}

func TestReadInvalidMetadata(t *testing.T) {
	for _, row := range []struct{ namespace, name, field string }{
		{"", "p", "metadata.namespace"},
		{"Shop", "p", "metadata.namespace"},
		{"shop", "", "metadata.name"},
		{"shop", "p/q", "metadata.name"},
		{"shop", strings.Repeat("p", 254), "metadata.name"},
	} {
		p, errs := Read(&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: row.namespace, Name: row.name}})
		if p != nil || len(errs) != 1 || errs[0].Field != row.field {
			t.Errorf("%s/%s: got %v, %v, want an error at %s", row.namespace, row.name, p, errs, row.field)
		}
	}
}

func TestAllProblemsAreReported(t *testing.T) {
	_, errs := Read(object(t, `{podSelector: {matchExpressions: [{key: a, operator: X}]}, policyTypes: [Z],
		ingress: [{from: [{}], ports: [{port: 0}]}, {from: [{ipBlock: {cidr: x}}]}], egress: [{to: [{}]}]}`))
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	want := "[spec.podSelector.matchExpressions[0].operator spec.policyTypes[0] spec.ingress[0].from[0] spec.ingress[0].ports[0].port spec.ingress[1].from[0].ipBlock.cidr spec.egress[0].to[0]]"
	if got := fmt.Sprint(fields); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
