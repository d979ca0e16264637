package explanation

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// plan is a workload of two pods behind a service, a client with both families,
// and a node:
//
//	node n1 10.0.0.1, shop/web-0 10.1.0.1 fd01::1, shop/web-1 10.1.0.2, default/client 10.1.0.3 fd01::3
func plan() *cluster.Snapshot {
	s := cluster.NewSnapshot()
	s.Nodes["n1"] = &cluster.Node{Name: "n1", Addrs: addrs("10.0.0.1")}
	for name, addresses := range map[string]string{"web-0": "10.1.0.1 fd01::1", "web-1": "10.1.0.2"} {
		p := &cluster.Pod{Name: cluster.Name{Namespace: "shop", Name: name}, Workload: "Deployment/web", Addrs: addrs(addresses),
			Labels: map[string]string{"app": "web", "pod": name}, Ports: []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 8080}}}
		s.Pods[p.Name] = p
	}
	client := &cluster.Pod{Name: cluster.Name{Namespace: "default", Name: "client"}, Addrs: addrs("10.1.0.3 fd01::3")}
	s.Pods[client.Name] = client
	service := &cluster.Service{Name: cluster.Name{Namespace: "shop", Name: "web"}, ClusterIPs: addrs("10.96.0.1"), Selector: map[string]string{"app": "web"},
		Ports: []cluster.ServicePort{{Name: "http", Protocol: traffic.TCP, Port: 80, TargetName: "http", NodePort: 30080}}}
	s.Services[service.Name] = service
	return s
}

func addrs(text string) []netip.Addr {
	var out []netip.Addr
	for _, field := range strings.Fields(text) {
		out = append(out, netip.MustParseAddr(field))
	}
	return out
}

// closed isolates the pods of a label in namespace shop, but for a block.
func closed(pods, open string) *policy.Set {
	selector, err := labels.Parse(pods)
	if err != nil {
		panic(err)
	}
	rule := policy.Rule{Action: policy.Allow, AnyPort: true}
	if open != "" {
		rule.Peers = []policy.Peer{{CIDR: &policy.CIDR{Prefix: netip.MustParsePrefix(open)}}}
	}
	set := policy.NewSet()
	set.Add(&policy.Policy{
		Ref:     policy.Ref{Dialect: policy.Kubernetes, Kind: "NetworkPolicy", Namespace: "shop", Name: "p"},
		Tier:    policy.NetworkPolicyTier.Name,
		Subject: policy.PodSelector{Namespace: "shop", Pods: selector},
		Ingress: &policy.Rules{Isolates: true, Rules: []policy.Rule{rule}},
	})
	return set
}

const noEgress = "  egress   allow  no policy selects default/client for egress\n"

var answerRows = []struct {
	name string
	set  *policy.Set
	to   string
	port string
	want string
}{
	{"one way", policy.NewSet(), "shop/web-1", "80", `
allow  default/client -> shop/web-1 TCP 80
` + noEgress + `  ingress  allow  no policy selects shop/web-1 for ingress
`},
	{"families that agree are one way", policy.NewSet(), "shop/web-0", "http", `
allow  default/client -> shop/web-0 TCP 8080
` + noEgress + `  ingress  allow  no policy selects shop/web-0 for ingress
`},
	{"families that differ are two, and one denial is enough", closed("app=web", "fd01::/64"), "shop/web-0", "80", `
deny   default/client -> shop/web-0 TCP 80: 1 of 2 ways are allowed

deny   default/client -> shop/web-0 TCP 80 (10.1.0.3 -> 10.1.0.1)
` + noEgress + `  ingress  deny   isolated for ingress by shop/p; no rule allows default/client on TCP 80

allow  default/client -> shop/web-0 TCP 80 (fd01::3 -> fd01::1)
` + noEgress + `  ingress  allow  allowed by shop/p rule 0: fd01::/64 on every port
`},
	{"a workload is its first pod", policy.NewSet(), "shop/web", "80", `
allow  default/client -> shop/web-0 TCP 80
` + noEgress + `  ingress  allow  no policy selects shop/web-0 for ingress

note: shop/web-0 is one of 2 pods of Deployment/web
`},
	{"all backends of a service", closed("pod=web-1", ""), "service/shop/web", "http", `
deny   default/client -> service/shop/web TCP 80: 1 of 2 ways are allowed

allow  default/client -> shop/web-0 TCP 8080 (10.1.0.3 -> 10.1.0.1)
` + noEgress + `  ingress  allow  no policy selects shop/web-0 for ingress

deny   default/client -> shop/web-1 TCP 8080 (10.1.0.3 -> 10.1.0.2)
` + noEgress + `  ingress  deny   isolated for ingress by shop/p; no rule allows default/client on TCP 8080
`},
	{"a node port is not the node's", policy.NewSet(), "node/n1", "30080", `
allow  default/client -> node/n1 TCP 30080
` + noEgress + `  ingress  allow  node/n1 is a node: no policy selects it for ingress

note: TCP 30080 on a node leads to shop/web: ask for service/shop/web, the answer here is for the node itself
`},
	{"a wrong destination", policy.NewSet(), "shop/wep", "80", "find destination: there is no pod or workload \"shop/wep\"; did you mean shop/web?"},
	{"a wrong port", policy.NewSet(), "service/shop/web", "81", "service/shop/web has no port TCP 81; it has TCP 80 http"},
}

func TestAnswers(t *testing.T) {
	for _, row := range answerRows {
		t.Run(row.name, func(t *testing.T) {
			x, err := New(plan(), row.set, Question{From: "default/client", To: row.to, Protocol: traffic.TCP, Port: row.port})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = "\n" + table(t, x, false)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func table(t *testing.T, x *Explanation, color bool) string {
	t.Helper()
	var out bytes.Buffer
	if err := (&printer.Printer{Out: &out, Color: color}).Print(x); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The answer's own directions are those of the way that is denied.
func TestTheDeniedWayDecides(t *testing.T) {
	x, err := New(plan(), closed("pod=web-1", ""), Question{From: "default/client", To: "service/shop/web", Protocol: traffic.TCP, Port: "80"})
	if err != nil {
		t.Fatal(err)
	}
	if x.Verdict != traffic.Deny || x.Ingress.Verdict != traffic.Deny || x.To != "service/shop/web" || x.Port != 80 || len(x.Ways) != 2 {
		t.Errorf("answer %+v", x)
	}
}

func TestAWrongSourceIsNamed(t *testing.T) {
	_, err := New(plan(), policy.NewSet(), Question{From: "client", To: "shop/web", Protocol: traffic.TCP, Port: "80"})
	if err == nil || !strings.HasPrefix(err.Error(), `find source: there is no pod or workload "client"; did you mean default/client?`) {
		t.Errorf("error %v", err)
	}
}

func TestColoursKeepTheLayout(t *testing.T) {
	x, err := New(plan(), closed("app=web", "fd01::/64"), Question{From: "default/client", To: "shop/web", Protocol: traffic.TCP, Port: "80"})
	if err != nil {
		t.Fatal(err)
	}
	colored := table(t, x, true)
	for _, style := range []printer.Style{printer.Bold, printer.Dim, printer.Red, printer.Green} {
		colored = strings.ReplaceAll(colored, "\x1b["+string(style)+"m", "")
	}
	if diff := cmp.Diff(table(t, x, false), strings.ReplaceAll(colored, "\x1b[0m", "")); diff != "" {
		t.Error(diff)
	}
}

// TestPingAsksForTheEchoRequest, which a rule may name by its type.
func TestPingAsksForTheEchoRequest(t *testing.T) {
	for kind, want := range map[uint8]traffic.Verdict{8: traffic.Allow, 0: traffic.Deny} {
		set := closed("app=web", "")
		for _, p := range set.Policies {
			number := traffic.ICMPPort(kind, 0)
			p.Ingress.Rules = []policy.Rule{{Action: policy.Allow, AnyPeer: true, Ports: []policy.Port{{Protocol: traffic.ICMP, Typed: true, From: number, To: number}}}}
		}
		x, err := New(plan(), set, Question{From: "default/client", To: "shop/web", Protocol: traffic.ICMP})
		if err != nil {
			t.Fatal(err)
		}
		if x.Verdict != want || !strings.Contains(table(t, x, false), "ICMP echo request") {
			t.Errorf("with a rule for type %d:\n%s", kind, table(t, x, false))
		}
	}
}
