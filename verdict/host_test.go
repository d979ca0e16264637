package verdict

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// hep is a HostEndpoint; its labels are "role=host" and the node's name.
func hep(node, device string, addresses ...string) *policy.Host {
	h := &policy.Host{
		Ref:  policy.Ref{Dialect: policy.Calico, Kind: "HostEndpoint", Name: node + "-" + device},
		Node: node, Device: device, Labels: map[string]string{"role": "host", "node": node},
	}
	for _, a := range addresses {
		h.Addrs = append(h.Addrs, netip.MustParseAddr(a))
	}
	return h
}

func open(h *policy.Host) *policy.Host {
	h.Open = true
	return h
}

// gnp is a GlobalNetworkPolicy for the hosts of a selector.
func gnp(name string, order float64, hosts string, directions ...func(*policy.Policy)) *policy.Policy {
	p := &policy.Policy{
		Ref:  policy.Ref{Dialect: policy.Calico, Kind: "GlobalNetworkPolicy", Name: name},
		Tier: policy.NetworkPolicyTier.Name, Order: order, Subject: policy.PodSelector{Pods: selector(hosts)},
		Hosts: &policy.HostSubject{Hosts: selector(hosts)},
	}
	for _, d := range directions {
		d(p)
	}
	return p
}

// ccnp is a CiliumClusterwideNetworkPolicy for nodes.
func ccnp(name, nodes string, directions ...func(*policy.Policy)) *policy.Policy {
	p := gnp(name, 0, nodes, directions...)
	p.Ref = policy.Ref{Dialect: policy.Cilium, Kind: "CiliumClusterwideNetworkPolicy", Name: name}
	p.Subject, p.Hosts.Nodes = policy.NoPods(), true
	return p
}

func forwarded(p *policy.Policy) *policy.Policy {
	p.Hosts.Forward = true
	return p
}

func preDNAT(p *policy.Policy) *policy.Policy {
	p.Hosts.Stage, p.Subject = policy.PreTranslation, policy.NoPods()
	return forwarded(p)
}

func untracked(p *policy.Policy) *policy.Policy {
	p = preDNAT(p)
	p.Hosts.Stage = policy.Untracked
	return p
}

type hosts = []*policy.Host

var (
	n1All, n1Eth = hep("n1", "*"), hep("n1", "eth0")
	office       = block("203.0.113.0/24")
	denyIn       = gnp("deny", 1, "role=host", in(act(policy.Deny)))
	letIn        = gnp("let", 2, "role=host", in(act(policy.Allow)))
)

// Where a row's meaning is written down: pages of Calico's documentation (3.32)
// below reference/host-endpoints, and of its resources.
const (
	resource  = "resources/hostendpoint"
	failsafes = "host-endpoints/failsafe"
	forward   = "host-endpoints/forwarded"
	before    = "host-endpoints/pre-dnat"
	summary   = "host-endpoints/summary"
	selectors = "host-endpoints/selector"
	felix     = "felix/rules/endpoints.go" // the code, where no page says it
	ours      = "docs/adr/0004"            // our choice
	ciliums   = "docs.cilium.io security/policy/host"
)

var hostRows = []struct {
	source, clause string
	hosts          hosts
	policies       policies
	connection     string
	want           string
}{
	{resource, "without an endpoint the host is open", nil, policies{denyIn}, "203.0.113.9 -> n1 TCP 10250", "allow"},
	{resource, "an endpoint without policy is closed: in", hosts{n1All}, nil, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{resource, "an endpoint without policy is closed: out", hosts{n1All}, nil, "n1 -> 203.0.113.9 TCP 443", "deny"},
	{resource, "so is one of a named interface", hosts{n1Eth}, nil, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{resource, "so is one of an expected address", hosts{hep("n1", "", "10.0.0.1")}, nil, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{resource, "and not one of another interface's address", hosts{hep("n1", "", "10.9.9.9")}, nil, "203.0.113.9 -> n1 TCP 10250", "allow"},
	{resource, "other hosts are left alone", hosts{n1All}, nil, "203.0.113.9 -> n2 TCP 10250", "allow"},
	{resource, "the profile default-allow opens what no policy decides", hosts{open(hep("n1", "*"))}, nil, "203.0.113.9 -> n1 TCP 10250", "allow"},
	{resource, "and only that", hosts{open(hep("n1", "*"))}, policies{denyIn}, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{resource, "the host always reaches its own pods", hosts{n1All}, policies{gnp("deny", 1, "role=host", out(act(policy.Deny)))}, "n1 -> shop/frontend TCP 80", "allow"},
	{resource, "and not those of others", hosts{n1All}, nil, "n1 -> shop/backend TCP 80", "deny"},
	{resource, "all interfaces are also those of the host's own pods", hosts{n1All}, nil, "shop/frontend -> n1 TCP 10250", "deny"},
	{resource, "a named interface is not", hosts{n1Eth}, nil, "shop/frontend -> n1 TCP 10250", "allow"},
	{resource, "pods of other hosts come from outside", hosts{n1Eth}, nil, "shop/backend -> n1 TCP 10250", "deny"},
	{resource, "a pod on the host's network is the host", hosts{n1All}, nil, "203.0.113.9 -> kube-system/proxy TCP 8080", "deny"},
	{resource, "the host and itself", hosts{n1All}, nil, "n1 -> kube-system/proxy TCP 8080", "allow"},

	{failsafes, "SSH stays open", hosts{n1All}, policies{denyIn}, "203.0.113.9 -> n1 TCP 22", "allow"},
	{failsafes, "so does the API server", hosts{n1All}, policies{denyIn}, "n2 -> n1 TCP 6443", "allow"},
	{failsafes, "so does etcd", hosts{n1All}, policies{denyIn}, "n2 -> n1 TCP 2380", "allow"},
	{failsafes, "DHCP in is UDP 68", hosts{n1All}, nil, "203.0.113.9 -> n1 UDP 68", "allow"},
	{failsafes, "DNS goes out", hosts{n1All}, nil, "n1 -> 203.0.113.9 UDP 53", "allow"},
	{failsafes, "and does not come in", hosts{n1All}, nil, "203.0.113.9 -> n1 UDP 53", "deny"},
	{failsafes, "SSH does not go out", hosts{n1All}, nil, "n1 -> 203.0.113.9 TCP 22", "deny"},
	{failsafes, "of TCP only", hosts{n1All}, nil, "203.0.113.9 -> n1 UDP 22", "deny"},
	{felix, "no failsafe holds for forwarded traffic", hosts{n1All}, policies{forwarded(copied(denyIn))}, "203.0.113.9 -> shop/frontend TCP 22", "deny"},

	{selectors, "a policy lets in", hosts{n1All}, policies{gnp("p", 1, "role=host", in(allow("TCP 10250", office)))}, "203.0.113.9 -> n1 TCP 10250", "allow"},
	{selectors, "who it names", hosts{n1All}, policies{gnp("p", 1, "role=host", in(allow("TCP 10250", office)))}, "198.51.100.1 -> n1 TCP 10250", "deny"},
	{selectors, "by the port that it names", hosts{n1All}, policies{gnp("p", 1, "role=host", in(allow("TCP 10250", office)))}, "203.0.113.9 -> n1 TCP 10255", "deny"},
	{selectors, "by labels of pods", hosts{n1All}, policies{gnp("p", 1, "role=host", in(allow("", pods("", "app=backend"))))}, "shop/backend -> n1 TCP 10250", "allow"},
	{selectors, "the order counts", hosts{n1All}, policies{letIn, denyIn}, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{selectors, "labels are the endpoint's", hosts{n1All}, policies{gnp("p", 1, "node=n2", in(act(policy.Allow)))}, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{selectors, "a policy for one direction leaves the other closed", hosts{n1All}, policies{letIn}, "n1 -> 203.0.113.9 TCP 443", "deny"},
	{selectors, "what the tier ends is denied although the profile is open", hosts{open(hep("n1", "*"))}, policies{gnp("p", 1, "role=host", in(allow("TCP 10250")))}, "203.0.113.9 -> n1 TCP 10255", "deny"},
	{selectors, "passed on, the profile decides: closed", hosts{n1All}, policies{gnp("p", 1, "role=host", in(act(policy.Pass)))}, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{selectors, "passed on, the profile decides: open", hosts{open(hep("n1", "*"))}, policies{gnp("p", 1, "role=host", in(act(policy.Pass)))}, "203.0.113.9 -> n1 TCP 10250", "allow"},
	{selectors, "both ends have endpoints", hosts{n1All, hep("n2", "*")}, policies{gnp("p", 1, "node=n1", out(act(policy.Allow)))}, "n1 -> n2 TCP 443", "deny"},
	{selectors, "both let it pass", hosts{n1All, hep("n2", "*")}, policies{gnp("p", 1, "node=n1", out(act(policy.Allow))), gnp("q", 1, "node=n2", in(act(policy.Allow)))}, "n1 -> n2 TCP 443", "allow"},
	{selectors, "a port by the endpoint's name for it", hosts{withPort(hep("n1", "*"))}, policies{gnp("p", 1, "role=host", in(allow("TCP kubelet")))}, "203.0.113.9 -> n1 TCP 10250", "allow"},
	{selectors, "an interface's own endpoint comes before that of all", hosts{open(hep("n1", "*")), n1Eth}, nil, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{selectors, "own pods come through none of the interfaces that have one", hosts{open(hep("n1", "*")), n1Eth}, nil, "shop/frontend -> n1 TCP 10250", "allow"},

	{forward, "by default only the host's own traffic is asked: from outside", hosts{n1All}, policies{denyIn}, "203.0.113.9 -> shop/frontend TCP 80", "allow"},
	{forward, "by default only the host's own traffic is asked: from a pod", hosts{n1All}, policies{gnp("deny", 1, "role=host", out(act(policy.Deny)))}, "shop/frontend -> 203.0.113.9 TCP 80", "allow"},
	{forward, "with applyOnForward what comes to a pod", hosts{n1All}, policies{forwarded(copied(denyIn))}, "203.0.113.9 -> shop/frontend TCP 80", "deny"},
	{forward, "and from a pod out", hosts{n1All}, policies{forwarded(gnp("deny", 1, "role=host", out(act(policy.Deny))))}, "shop/frontend -> 203.0.113.9 TCP 80", "deny"},
	{forward, "forwarded traffic without such a policy is allowed", hosts{n1All}, policies{forwarded(gnp("out", 1, "role=host", out()))}, "203.0.113.9 -> shop/frontend TCP 80", "allow"},
	{forward, "with one, what no rule allows is denied", hosts{n1All}, policies{forwarded(gnp("in", 1, "role=host", in(allow("TCP 80"))))}, "203.0.113.9 -> shop/frontend TCP 81", "deny"},
	{forward, "it also counts for the host itself", hosts{n1All}, policies{forwarded(gnp("in", 1, "role=host", in(allow("TCP 80"))))}, "203.0.113.9 -> n1 TCP 80", "allow"},
	{forward, "the pod's own policy must allow as well", hosts{n1All}, policies{forwarded(copied(letIn)), np("shop/deny", "", in())}, "203.0.113.9 -> shop/frontend TCP 80", "deny"},
	{forward, "between two hosts both are asked", hosts{n1All, hep("n2", "*")}, policies{forwarded(gnp("deny", 1, "node=n2", in(act(policy.Deny))))}, "shop/frontend -> shop/backend TCP 80", "deny"},
	{summary, "pods of one host pass no interface of it", hosts{n1All}, policies{forwarded(copied(denyIn))}, "shop/frontend -> shop/cart TCP 80", "allow"},

	{before, "it is asked of what goes to a pod", hosts{n1Eth}, policies{preDNAT(copied(denyIn))}, "203.0.113.9 -> shop/frontend TCP 80", "deny"},
	{before, "and of what goes to the host", hosts{open(hep("n1", "eth0"))}, policies{preDNAT(copied(denyIn))}, "203.0.113.9 -> n1 TCP 80", "deny"},
	{before, "it has no end: what it does not decide goes on", hosts{n1Eth}, policies{preDNAT(gnp("p", 1, "role=host", in(rule(policy.Deny, "TCP 30000-32767"))))}, "203.0.113.9 -> shop/frontend TCP 80", "allow"},
	{before, "and meets the host's own end", hosts{n1Eth}, policies{preDNAT(gnp("p", 1, "role=host", in(rule(policy.Deny, "TCP 30000-32767"))))}, "203.0.113.9 -> n1 TCP 80", "deny"},
	{before, "not of what own pods send", hosts{open(hep("n1", "*"))}, policies{preDNAT(copied(denyIn))}, "shop/frontend -> n1 TCP 80", "allow"},
	{before, "nor of what goes out", hosts{n1Eth}, policies{preDNAT(copied(denyIn))}, "shop/frontend -> 203.0.113.9 TCP 80", "allow"},
	{summary, "what it allows skips normal policies", hosts{n1Eth}, policies{preDNAT(copied(letIn)), denyIn}, "203.0.113.9 -> n1 TCP 80", "allow"},
	{summary, "of forwarded traffic too", hosts{n1Eth}, policies{preDNAT(copied(letIn)), forwarded(copied(denyIn))}, "203.0.113.9 -> shop/frontend TCP 80", "allow"},
	{summary, "and never a pod's", hosts{n1Eth}, policies{preDNAT(copied(letIn)), np("shop/deny", "", in())}, "203.0.113.9 -> shop/frontend TCP 80", "deny"},
	{felix, "failsafe ports skip it", hosts{n1Eth}, policies{preDNAT(copied(denyIn))}, "203.0.113.9 -> n1 TCP 22", "allow"},
	{felix, "and not the policies on forwarded traffic behind it", hosts{n1Eth}, policies{preDNAT(copied(letIn)), forwarded(copied(denyIn))}, "203.0.113.9 -> shop/frontend TCP 22", "deny"},
	{summary, "untracked comes before it", hosts{n1Eth}, policies{untracked(copied(letIn)), preDNAT(copied(denyIn)), denyIn}, "203.0.113.9 -> n1 TCP 80", "allow"},
	{summary, "untracked denies", hosts{n1Eth}, policies{untracked(copied(denyIn)), preDNAT(copied(letIn))}, "203.0.113.9 -> n1 TCP 80", "deny"},
	{summary, "untracked has egress", hosts{n1Eth}, policies{untracked(gnp("u", 1, "role=host", out(act(policy.Allow))))}, "n1 -> 203.0.113.9 TCP 443", "allow"},
	{summary, "and no say in what pods send", hosts{n1Eth}, policies{untracked(gnp("u", 1, "role=host", out(act(policy.Deny))))}, "shop/frontend -> 203.0.113.9 TCP 443", "allow"},
	{resource, "all interfaces have no untracked policies", hosts{n1All}, policies{untracked(copied(letIn))}, "203.0.113.9 -> n1 TCP 80", "deny"},

	{selectors, "a rule's own end is the address that was called", hosts{n1All}, policies{gnp("p", 1, "role=host", in(itself(allow(""), block("10.0.0.1/32"))))}, "203.0.113.9 -> n1 TCP 80", "allow"},
	{selectors, "and no other", hosts{n1All}, policies{gnp("p", 1, "role=host", in(itself(allow(""), block("10.0.0.1/32"))))}, "fd00::2 -> n1 TCP 80 6", "deny"},
	{ours, "what is passed on is not asked for it: an allow does not match", hosts{n1All}, policies{forwarded(gnp("p", 1, "role=host", in(itself(allow(""), block("0.0.0.0/0")))))}, "203.0.113.9 -> shop/frontend TCP 80", "deny"},
	{ours, "a deny does", hosts{n1All}, policies{forwarded(gnp("p", 1, "role=host", in(itself(act(policy.Deny), block("10.9.9.9/32")), act(policy.Allow))))}, "203.0.113.9 -> shop/frontend TCP 80", "deny"},
	{ours, "a policy of a tier that does not exist closes", hosts{open(hep("n1", "*"))}, policies{inTier("later", gnp("p", 1, "role=host", in(act(policy.Allow))))}, "203.0.113.9 -> n1 TCP 80", "deny"},

	{ciliums, "a node without policies is open", nil, policies{ccnp("p", "role=edge", in())}, "203.0.113.9 -> n1 TCP 22", "allow"},
	{ciliums, "a policy isolates it", nil, policies{ccnp("p", "", in(allow("TCP 443")))}, "203.0.113.9 -> n1 TCP 10250", "deny"},
	{ciliums, "in its own direction", nil, policies{ccnp("p", "", in(allow("TCP 443")))}, "n1 -> 203.0.113.9 TCP 80", "allow"},
	{ciliums, "there are no failsafe ports", nil, policies{ccnp("p", "", in(allow("TCP 443")))}, "203.0.113.9 -> n1 TCP 22", "deny"},
	{ciliums, "rules allow", nil, policies{ccnp("p", "", in(allow("TCP 443")))}, "203.0.113.9 -> n1 TCP 443", "allow"},
	{ciliums, "policies add up", nil, policies{ccnp("p", "", in()), ccnp("q", "", in(allow("TCP 443")))}, "203.0.113.9 -> n1 TCP 443", "allow"},
	{ciliums, "a deny beats them", nil, policies{ccnp("p", "", in(allow("TCP 443"))), ccnp("q", "", in(act(policy.Deny)))}, "203.0.113.9 -> n1 TCP 443", "deny"},
	{ciliums, "own pods are asked", nil, policies{ccnp("p", "", in(allow("TCP 443")))}, "shop/frontend -> n1 TCP 22", "deny"},
	{ciliums, "not what pods send to the outside", nil, policies{ccnp("p", "", in(), out())}, "shop/frontend -> 203.0.113.9 TCP 80", "allow"},
	{ciliums, "nor what comes to pods", nil, policies{ccnp("p", "", in(), out())}, "203.0.113.9 -> shop/frontend TCP 80", "allow"},
	{ours, "the kubelet reaches its own pods", nil, policies{ccnp("p", "", out())}, "n1 -> shop/frontend TCP 80", "allow"},
	{ours, "of both dialects both must allow", hosts{n1All}, policies{letIn, ccnp("p", "", in())}, "203.0.113.9 -> n1 TCP 80", "deny"},
}

func TestHosts(t *testing.T) {
	for _, row := range hostRows {
		t.Run(row.clause, func(t *testing.T) {
			s := plan()
			result := Evaluate(s, hostSet(row.hosts, row.policies), connect(t, s, row.connection))
			if got := result.Verdict.String(); got != row.want {
				t.Errorf("%s: %s, want %s by %s: %+v", row.connection, got, row.want, row.source, result)
			}
			e := New(s, hostSet(row.hosts, row.policies))
			if got := e.Verdict(connect(t, s, row.connection)); got != result.Verdict {
				t.Errorf("without the reason it is %s", got)
			}
		})
	}
}

func hostSet(hosts hosts, list policies) *policy.Set {
	s := set(list)
	for _, h := range hosts {
		s.Hosts[h.Ref] = h
	}
	return s
}

func withPort(h *policy.Host) *policy.Host {
	h.Ports = []cluster.Port{{Name: "kubelet", Protocol: traffic.TCP, Number: 10250}}
	return h
}

func itself(r policy.Rule, self ...policy.Peer) policy.Rule {
	r.Self = self
	return r
}

func inTier(name string, p *policy.Policy) *policy.Policy {
	p.Tier = name
	return p
}

// copied is for a policy that a row changes.
func copied(p *policy.Policy) *policy.Policy {
	other, hosts := *p, *p.Hosts
	other.Hosts = &hosts
	return &other
}

// The policy before translation is asked for the port of the service, those
// behind it for the backend's.
func TestBeforeTranslation(t *testing.T) {
	s := plan()
	nodePort := preDNAT(gnp("ports", 1, "role=host", in(itself(rule(policy.Deny, "TCP 30080"), block("10.0.0.1/32")))))
	c := connect(t, s, "203.0.113.9 -> shop/frontend TCP 80")
	for asked, want := range map[string]traffic.Verdict{"": traffic.Allow, "10.0.0.1:30080": traffic.Deny, "10.0.0.1:30081": traffic.Allow} {
		if asked != "" {
			c.Asked = netip.MustParseAddrPort(asked)
		}
		if got := Evaluate(s, hostSet(hosts{n1Eth}, policies{nodePort}), c); got.Verdict != want {
			t.Errorf("asked for %q: %s, want %s", asked, got.Verdict, want)
		}
	}
}

// Failsafes may be chosen, and be for some addresses only.
func TestChosenFailsafes(t *testing.T) {
	s := plan()
	set := hostSet(hosts{n1All}, nil)
	set.Failsafes = &policy.Failsafes{Ingress: []policy.Failsafe{{Protocol: traffic.TCP, Port: 22, Net: netip.MustParsePrefix("203.0.113.0/24")}}}
	for connection, want := range map[string]traffic.Verdict{
		"203.0.113.9 -> n1 TCP 22": traffic.Allow, "198.51.100.1 -> n1 TCP 22": traffic.Deny, "203.0.113.9 -> n1 TCP 6443": traffic.Deny,
	} {
		if got := Evaluate(s, set, connect(t, s, connection)); got.Verdict != want {
			t.Errorf("%s: %s, want %s", connection, got.Verdict, want)
		}
	}
}

// An address of the node's pod network is a pod's before anybody knows the pod.
func TestAPodThatNobodyKnowsIsTheNodesOwn(t *testing.T) {
	s := plan()
	s.Nodes["n1"].PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.1.0/24")}
	if got := Evaluate(s, hostSet(hosts{n1All}, nil), connect(t, s, "n1 -> 10.1.1.99 TCP 80")); got.Verdict != traffic.Allow {
		t.Errorf("the node does not reach a pod that starts: %+v", got)
	}
}

func TestHostReasons(t *testing.T) {
	edge := gnp("kubelet", 1, "role=host", in(allow("TCP 10250", office)))
	for _, row := range []struct {
		hosts      hosts
		policies   policies
		connection string
		direction  traffic.Direction
		want       string
	}{
		{hosts{n1All}, policies{edge}, "203.0.113.9 -> n1 TCP 10250", traffic.Ingress, "allowed by kubelet rule 0: 203.0.113.0/24 on TCP 10250"},
		{hosts{n1All}, policies{edge}, "203.0.113.9 -> n1 TCP 22", traffic.Ingress, "TCP 22 is a failsafe port of host endpoint n1-*: no policy closes it"},
		{hosts{n1All}, policies{edge}, "198.51.100.1 -> n1 TCP 10250", traffic.Ingress, "isolated for ingress by kubelet; no rule allows ip/198.51.100.1 on TCP 10250"},
		{hosts{n1All}, policies{edge}, "n1 -> 203.0.113.9 TCP 443", traffic.Egress, "no policy selects host endpoint n1-* for egress, and without one it is closed but for failsafe ports"},
		{hosts{n1All}, policies{edge}, "n1 -> shop/frontend TCP 443", traffic.Egress, "node/n1 always reaches its own pods"},
		{hosts{open(hep("n1", "*"))}, nil, "n1 -> 203.0.113.9 TCP 443", traffic.Egress, "no policy selects host endpoint n1-* for egress"},
		{hosts{n1All}, policies{gnp("p", 1, "role=host", in(act(policy.Pass)))}, "203.0.113.9 -> n1 TCP 80", traffic.Ingress, "no policy of host endpoint n1-* decides ip/203.0.113.9 on TCP 80, and it denies what none allows"},
		{nil, policies{ccnp("p", "", in(allow("TCP 443")))}, "203.0.113.9 -> n1 TCP 22", traffic.Ingress, "isolated for ingress by p; no rule allows ip/203.0.113.9 on TCP 22"},
	} {
		s := plan()
		result := Evaluate(s, hostSet(row.hosts, row.policies), connect(t, s, row.connection))
		decision := result.Egress
		if row.direction == traffic.Ingress {
			decision = result.Ingress
		}
		if decision.Reason != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.connection, decision.Reason, row.want)
		}
	}
}

func TestForwardReason(t *testing.T) {
	s := plan()
	result := Evaluate(s, hostSet(hosts{n1All}, policies{forwarded(copied(denyIn))}), connect(t, s, "203.0.113.9 -> shop/frontend TCP 80"))
	want := "host endpoint n1-*: denied by deny rule 0: everyone on every port"
	if len(result.Forward) != 1 || result.Forward[0].Reason != want || result.Forward[0].Node != "n1" {
		t.Errorf("forward %+v, want %s", result.Forward, want)
	}
	result = Evaluate(s, hostSet(hosts{n1All}, policies{denyIn}), connect(t, s, "203.0.113.9 -> shop/frontend TCP 80"))
	if len(result.Forward) != 0 {
		t.Errorf("a node that only passes it on has a say: %+v", result.Forward)
	}
}
