package verdict

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/policy"
)

type policies = []*policy.Policy

var nobody = policy.Rule{Action: policy.Allow, AnyPort: true}

// One row per clause of the NetworkPolicy API; connections that a row says
// nothing of are in the row above or below.
var networkPolicyRows = []struct {
	clause     string
	policies   policies
	connection string
	want       string
}{
	{"without policies all is allowed", nil, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"a selected pod is isolated", policies{np("shop/deny", "", in())}, "dev/visitor -> shop/backend TCP 8080", "deny"},
	{"isolation is per direction", policies{np("shop/deny", "", in())}, "shop/backend -> dev/visitor TCP 80", "allow"},
	{"isolation for egress", policies{np("shop/deny", "", out())}, "shop/backend -> dev/visitor TCP 80", "deny"},
	{"egress isolation leaves ingress open", policies{np("shop/deny", "", out())}, "dev/visitor -> shop/backend TCP 80", "allow"},
	{"isolation is of selected pods only", policies{np("shop/deny", "app=cart", in())}, "dev/visitor -> shop/backend TCP 80", "allow"},
	{"isolation is of the policy's namespace only", policies{np("shop/deny", "", in())}, "shop/backend -> dev/visitor TCP 80", "allow"},
	{"other protocols are isolated too", policies{np("shop/deny", "", in())}, "dev/visitor -> shop/backend ICMP", "deny"},
	{"both directions must allow: egress", policies{np("shop/deny", "", out(), in(allow("")))}, "shop/frontend -> shop/backend TCP 80", "deny"},
	{"both directions must allow: ingress", policies{np("shop/deny", "", out(allow("")), in())}, "shop/frontend -> shop/backend TCP 80", "deny"},
	{"both directions allow", policies{np("shop/open", "", out(allow("")), in(allow("")))}, "shop/frontend -> shop/backend TCP 80", "allow"},
	{"policies add up", policies{np("shop/deny", "", in()), np("shop/open", "app=backend", in(allow("TCP 80")))}, "dev/visitor -> shop/backend TCP 80", "allow"},
	{"rules add up", policies{np("shop/open", "", in(allow("TCP 80"), allow("TCP 90")))}, "dev/visitor -> shop/backend TCP 90", "allow"},
	{"peers are or-ed", policies{np("shop/open", "", in(allow("", pods("dev", "app=x"), pods("shop", "app=cart"))))}, "shop/cart -> shop/backend TCP 1", "allow"},
	{"namespace and labels of one peer are and-ed", policies{np("shop/open", "", in(allow("", pods("team=dev", "app=cart"))))}, "shop/cart -> shop/backend TCP 1", "deny"},
	{"namespace and labels both met", policies{np("shop/open", "", in(allow("", pods("team=dev", "app=frontend"))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"pods alone mean the policy's namespace", policies{np("shop/open", "", in(allow("", pods("shop", "app=frontend"))))}, "dev/visitor -> shop/backend TCP 1", "deny"},
	{"namespaces alone mean all their pods", policies{np("shop/open", "", in(allow("", pods("team", ""), pods("stage=test", ""))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"the namespace's name is a label", policies{np("shop/open", "", in(allow("", pods("kubernetes.io/metadata.name=dev", ""))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"all namespaces are not the outside", policies{np("shop/open", "", in(allow("", pods("", ""))))}, "203.0.113.9 -> shop/backend TCP 1", "deny"},
	{"operator In", policies{np("shop/open", "", in(allow("", pods("", "app in (cart,frontend)"))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"operator NotIn", policies{np("shop/open", "", in(allow("", pods("", "app notin (cart,frontend)"))))}, "dev/visitor -> shop/backend TCP 1", "deny"},
	{"operator NotIn matches an absent label", policies{np("shop/open", "", in(allow("", pods("", "tier notin (web)"))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"operator Exists", policies{np("shop/open", "", in(allow("", pods("", "tier"))))}, "dev/visitor -> shop/backend TCP 1", "deny"},
	{"operator DoesNotExist", policies{np("shop/open", "", in(allow("", pods("", "!tier"))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"no peers given match the outside too", policies{np("shop/open", "", in(allow("")))}, "203.0.113.9 -> shop/backend TCP 1", "allow"},
	{"a rule with neither peers nor any peer matches nobody", policies{np("shop/open", "", in(nobody))}, "dev/visitor -> shop/backend TCP 1", "deny"},
	{"no ports given match ICMP too", policies{np("shop/open", "", in(allow("")))}, "dev/visitor -> shop/backend ICMP", "allow"},
	{"ipBlock matches the outside", policies{np("shop/open", "", in(allow("", block("203.0.113.0/24"))))}, "203.0.113.9 -> shop/backend TCP 1", "allow"},
	{"ipBlock does not match beyond its end", policies{np("shop/open", "", in(allow("", block("203.0.113.0/29"))))}, "203.0.113.9 -> shop/backend TCP 1", "deny"},
	{"ipBlock matches pods", policies{np("shop/open", "", in(allow("", block("10.1.2.2/32"))))}, "dev/visitor -> shop/backend TCP 1", "allow"},
	{"ipBlock matches nodes", policies{np("shop/open", "", in(allow("", block("10.0.0.0/24"))))}, "n1 -> shop/backend TCP 1", "allow"},
	{"ipBlock for egress to a node", policies{np("shop/open", "", out(allow("", block("10.0.0.2/32"))))}, "shop/backend -> n2 TCP 22", "allow"},
	{"except cuts out", policies{np("shop/open", "", out(allow("", block("0.0.0.0/0", "169.254.169.254/32"))))}, "shop/backend -> 169.254.169.254 TCP 80", "deny"},
	{"beside the except", policies{np("shop/open", "", out(allow("", block("0.0.0.0/0", "169.254.169.254/32"))))}, "shop/backend -> 169.254.169.253 TCP 80", "allow"},
	{"another block may contain what one excepts", policies{np("shop/open", "", out(allow("", block("0.0.0.0/0", "10.0.0.0/8"), block("10.1.0.0/16"))))}, "shop/backend -> shop/cart TCP 80", "allow"},
	{"an IPv4 block does not match IPv6", policies{np("shop/open", "", in(allow("", block("0.0.0.0/0"))))}, "shop/frontend -> shop/backend TCP 1 6", "deny"},
	{"an IPv6 block", policies{np("shop/open", "", in(allow("", block("fd01::1:0/112"))))}, "shop/frontend -> shop/backend TCP 1 6", "allow"},
	{"an IPv6 block does not match IPv4", policies{np("shop/open", "", in(allow("", block("::/0"))))}, "shop/frontend -> shop/backend TCP 1", "deny"},
	{"selectors match both families", policies{np("shop/open", "", in(allow("", pods("shop", ""))))}, "shop/frontend -> shop/backend TCP 1 6", "allow"},
	{"a port is of its protocol", policies{np("shop/open", "", in(allow("UDP 53")))}, "shop/frontend -> shop/backend TCP 53", "deny"},
	{"UDP", policies{np("shop/open", "", in(allow("UDP 53")))}, "shop/frontend -> shop/backend UDP 53", "allow"},
	{"SCTP", policies{np("shop/open", "", in(allow("SCTP 7777")))}, "shop/frontend -> shop/backend SCTP 7777", "allow"},
	{"a protocol without a port means all its ports", policies{np("shop/open", "", in(allow("UDP")))}, "shop/frontend -> shop/backend UDP 65535", "allow"},
	{"endPort: below the first", policies{np("shop/open", "", in(allow("TCP 80-90")))}, "shop/frontend -> shop/backend TCP 79", "deny"},
	{"endPort: the first", policies{np("shop/open", "", in(allow("TCP 80-90")))}, "shop/frontend -> shop/backend TCP 80", "allow"},
	{"endPort: the last", policies{np("shop/open", "", in(allow("TCP 80-90")))}, "shop/frontend -> shop/backend TCP 90", "allow"},
	{"endPort: beyond the last", policies{np("shop/open", "", in(allow("TCP 80-90")))}, "shop/frontend -> shop/backend TCP 91", "deny"},
	{"a port is none of ICMP's", policies{np("shop/open", "", in(allow("ANY 1-65535")))}, "shop/frontend -> shop/backend ICMP", "deny"},
	{"a name resolves on the selected pod", policies{np("shop/open", "", in(allow("TCP http")))}, "shop/frontend -> shop/backend TCP 8080", "allow"},
	{"containers may share a name", policies{np("shop/open", "", in(allow("TCP http")))}, "shop/frontend -> shop/backend TCP 8081", "allow"},
	{"a name is of its protocol", policies{np("shop/open", "", in(allow("TCP http")))}, "shop/frontend -> shop/backend TCP 9999", "deny"},
	{"the same name in UDP", policies{np("shop/open", "", in(allow("UDP http")))}, "shop/frontend -> shop/backend UDP 9999", "allow"},
	{"the number is each pod's own", policies{np("shop/open", "", in(allow("TCP http")))}, "shop/frontend -> shop/cart TCP 8080", "deny"},
	{"for egress a name resolves on the destination", policies{np("shop/open", "app=frontend", out(allow("TCP http")))}, "shop/frontend -> shop/cart TCP 8000", "allow"},
	{"for egress a name is not the source's", policies{np("shop/open", "app=cart", out(allow("TCP http")))}, "shop/cart -> shop/backend TCP 8000", "deny"},
	{"a name that the pod has not", policies{np("shop/open", "", in(allow("TCP nosuch")))}, "shop/frontend -> shop/backend TCP 8080", "deny"},
	{"names through an ipBlock that is a pod", policies{np("shop/open", "app=frontend", out(allow("TCP http", block("10.1.2.0/24"))))}, "shop/frontend -> shop/backend TCP 8080", "allow"},
	{"the outside has no names", policies{np("shop/open", "app=frontend", out(allow("TCP http", block("0.0.0.0/0"))))}, "shop/frontend -> 203.0.113.9 TCP 8080", "deny"},
	{"nodes have no names, whoever runs on them", policies{np("shop/open", "app=frontend", out(allow("TCP http", block("0.0.0.0/0"))))}, "shop/frontend -> kube-system/proxy TCP 8080", "deny"},
	{"selectors do not pick host-network pods", policies{np("shop/open", "", in(allow("", pods("", "app=frontend"))))}, "kube-system/proxy -> shop/backend TCP 1", "deny"},
	{"selectors do not pick nodes", policies{np("shop/open", "", in(allow("", pods("", ""))))}, "n1 -> shop/backend TCP 1", "deny"},
	{"ipBlock matches host-network pods as their node", policies{np("shop/open", "", in(allow("", block("10.0.0.1/32"))))}, "kube-system/proxy -> shop/backend TCP 1", "allow"},
	{"host-network pods are not selected", policies{np("kube-system/deny", "", in(), out())}, "shop/backend -> kube-system/proxy TCP 8080", "allow"},
	{"host-network pods are not selected as sources", policies{np("kube-system/deny", "", in(), out())}, "kube-system/proxy -> shop/backend TCP 8080", "allow"},
	{"a pod's own node reaches it", policies{np("shop/deny", "", in())}, "n2 -> shop/backend TCP 8080", "allow"},
	{"a pod's own node reaches it over IPv6", policies{np("shop/deny", "", in())}, "n2 -> shop/backend TCP 8080 6", "allow"},
	{"so does a host-network pod of that node", policies{np("shop/deny", "", in())}, "kube-system/agent -> shop/backend TCP 8080", "allow"},
	{"another node does not", policies{np("shop/deny", "", in())}, "n1 -> shop/backend TCP 8080", "deny"},
	{"nor another node's host-network pod", policies{np("shop/deny", "", in())}, "kube-system/proxy -> shop/backend TCP 8080", "deny"},
	{"a pod does not reach its own node", policies{np("shop/deny", "", out())}, "shop/backend -> n2 TCP 22", "deny"},
	{"nor its host-network pods", policies{np("shop/deny", "", out())}, "shop/backend -> kube-system/agent TCP 22", "deny"},
	{"a pod reaches itself", policies{np("shop/deny", "", in(), out())}, "shop/backend -> shop/backend TCP 8080", "allow"},
	{"a pod reaches itself over IPv6", policies{np("shop/deny", "", in(), out())}, "shop/backend -> shop/backend TCP 8080 6", "allow"},
	{"the outside and nodes are not policed", policies{np("shop/deny", "", in(), out())}, "203.0.113.9 -> n1 TCP 22", "allow"},
}

func TestNetworkPolicy(t *testing.T) {
	for _, row := range networkPolicyRows {
		t.Run(row.clause, func(t *testing.T) {
			judge(t, set(row.policies), row.connection, row.want)
		})
	}
}

// judge compares both ways of asking with what is wanted.
func judge(t *testing.T, set *policy.Set, connection, want string) Result {
	t.Helper()
	snapshot := plan()
	c := connect(t, snapshot, connection)
	result := Evaluate(snapshot, set, c)
	if got := result.Verdict.String(); got != want {
		t.Errorf("%s: %s, want %s\negress: %s\ningress: %s", connection, got, want, result.Egress.Reason, result.Ingress.Reason)
	}
	if quick := New(snapshot, set).Verdict(c); quick != result.Verdict {
		t.Errorf("%s: Verdict says %s, Evaluate %s", connection, quick, result.Verdict)
	}
	return result
}
