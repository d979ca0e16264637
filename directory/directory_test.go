package directory

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// plan is the address plan of these tests; replicas and families differ:
//
//	node n1 10.0.0.1 fd00::1
//	shop/web-0, web-1   10.1.0.1, 10.1.0.2 and IPv6   Deployment web, TCP http 8080 and 8081
//	shop/job-a, set-a   10.1.0.3, 10.1.0.4            Job dual, StatefulSet dual
//	shop/host           n1's network                  app=web too, TCP http 80
//	node/n1, node/x     10.1.0.6, 10.1.0.7            a namespace that is called node
//	six/pod             fd01::9
func plan() *cluster.Snapshot {
	s := cluster.NewSnapshot()
	s.Nodes["n1"] = &cluster.Node{Name: "n1", Addrs: addrs("10.0.0.1 fd00::1")}
	web := map[string]string{"app": "web"}
	http := []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 8080}, {Name: "http", Protocol: traffic.TCP, Number: 8081}}
	for _, p := range []*cluster.Pod{
		{Name: cluster.Name{Namespace: "shop", Name: "web-1"}, Workload: "Deployment/web", Labels: web, Ports: http, Addrs: addrs("10.1.0.2 fd01::2")},
		{Name: cluster.Name{Namespace: "shop", Name: "web-0"}, Workload: "Deployment/web", Labels: web, Ports: http, Addrs: addrs("10.1.0.1 fd01::1")},
		{Name: cluster.Name{Namespace: "shop", Name: "job-a"}, Workload: "Job/dual", Addrs: addrs("10.1.0.3")},
		{Name: cluster.Name{Namespace: "shop", Name: "set-a"}, Workload: "StatefulSet/dual", Addrs: addrs("10.1.0.4")},
		{Name: cluster.Name{Namespace: "shop", Name: "host"}, HostNetwork: true, Node: "n1", Addrs: addrs("10.0.0.1 fd00::1"),
			Labels: map[string]string{"app": "web", "on": "host"}, Ports: []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 80}}},
		{Name: cluster.Name{Namespace: "node", Name: "n1"}, Addrs: addrs("10.1.0.6")},
		{Name: cluster.Name{Namespace: "node", Name: "x"}, Addrs: addrs("10.1.0.7")},
		{Name: cluster.Name{Namespace: "six", Name: "pod"}, Addrs: addrs("fd01::9")},
		{Name: cluster.Name{Namespace: "six", Name: "pending"}},
	} {
		s.Pods[p.Name] = p
	}
	services(s)
	return s
}

func services(s *cluster.Snapshot) {
	http := cluster.ServicePort{Name: "http", Protocol: traffic.TCP, Port: 80, TargetName: "http"}
	direct := cluster.ServicePort{Name: "direct", Protocol: traffic.TCP, Port: 81, TargetPort: 8081}
	other := cluster.ServicePort{Name: "other", Protocol: traffic.TCP, Port: 82, TargetName: "other"}
	for name, service := range map[string]*cluster.Service{
		"web":   {ClusterIPs: addrs("10.96.0.1"), Selector: map[string]string{"app": "web"}, Ports: []cluster.ServicePort{http, direct, other}},
		"both":  {ClusterIPs: addrs("10.96.0.2 fd96::2"), Selector: map[string]string{"app": "web", "on": "host"}, Ports: []cluster.ServicePort{http}},
		"peers": {Headless: true, Selector: map[string]string{"app": "web"}, Ports: []cluster.ServicePort{http}},
		"none":  {ClusterIPs: addrs("10.96.0.3"), Selector: map[string]string{"app": "none"}, Ports: []cluster.ServicePort{http}},
		"away":  {ClusterIPs: addrs("10.96.0.4"), Ports: []cluster.ServicePort{http}},
	} {
		service.Name = cluster.Name{Namespace: "shop", Name: name}
		s.Services[service.Name] = service
	}
}

func addrs(text string) []netip.Addr {
	var out []netip.Addr
	for _, field := range strings.Fields(text) {
		out = append(out, netip.MustParseAddr(field))
	}
	return out
}

func TestFind(t *testing.T) {
	d := New(plan())
	for _, row := range []struct{ name, want string }{
		{"shop/web-1", "shop/web-1"},
		{"shop/web", "shop/web-0"},
		{"shop/Deployment/web", "shop/web-0"},
		{"shop/job/dual", "shop/job-a"},
		{"shop/dual", "error: shop/dual is the name of several workloads: write shop/Job/dual or shop/StatefulSet/dual"},
		{"node/x", "node/x"},
		{"node/n1", "error: node/n1 is a node and a pod: for the pod write pod/node/n1"},
		{"pod/node/n1", "node/n1"},
		{"pod/shop/web", "shop/web-0"},
		{"ip/10.1.0.2", "shop/web-1"},
		{"ip/fd01::2", "shop/web-1"},
		{"ip/::ffff:10.1.0.2", "shop/web-1"},
		{"ip/10.0.0.1", "node/n1"},
		{"ip/10.96.0.1", "service/shop/web"},
		{"ip/192.0.2.1", "ip/192.0.2.1"},
		{"ip/10.1.0", `error: ip/10.1.0: "10.1.0" is not an address: write ip/203.0.113.10 or ip/2001:db8::10`},
		{"ip/fe80::1%eth0", `error: ip/fe80::1%eth0: "fe80::1%eth0" is not an address: write ip/203.0.113.10 or ip/2001:db8::10`},
		{"service/shop/web", "service/shop/web"},
		{"shop/wep", `error: there is no pod or workload "shop/wep"; did you mean shop/web?`},
		{"dev/web-0", `error: there is no pod or workload "dev/web-0"; did you mean shop/web-0?`},
		{"web-0", `error: there is no pod or workload "web-0"; did you mean shop/web-0?`},
		{"shop/none", `error: there is no pod or workload "shop/none"; did you mean service/shop/none?`},
		{"node/n2", `error: there is no node "node/n2"; did you mean node/n1 or node/x?`},
		{"service/shop/wbe", `error: there is no service "service/shop/wbe"; did you mean service/shop/web or service/shop/away or service/shop/none?`},
		{"service/web", `error: there is no pod or workload "service/web"; did you mean service/shop/web or shop/web?`},
		{"somethingelse", `error: there is no pod or workload "somethingelse"; write NAMESPACE/POD, node/NAME, ip/ADDRESS or service/NAMESPACE/NAME`},
		{"", `error: there is no pod or workload ""; write NAMESPACE/POD, node/NAME, ip/ADDRESS or service/NAMESPACE/NAME`},
		{"some/thing/else", `error: there is no pod or workload "some/thing/else"`},
	} {
		place, err := d.Find(row.name)
		got := ""
		if err != nil {
			got = "error: " + err.Error()
		} else {
			got = place.String()
		}
		if got != row.want {
			t.Errorf("%q:\n got %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestReplicas(t *testing.T) {
	place, err := New(plan()).Find("shop/web")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(place.Replicas[0].Name, place.Replicas[1].Name); len(place.Replicas) != 2 || got != "shop/web-0 shop/web-1" {
		t.Errorf("replicas %v", place.Replicas)
	}
	if place, _ := New(plan()).Find("shop/web-0"); place.Replicas != nil {
		t.Errorf("a pod has replicas %v", place.Replicas)
	}
}

var connectionRows = []struct{ from, to, protocol, port, want string }{
	{"shop/web", "shop/job-a", "TCP", "80", "10.1.0.1 -> shop/job-a 10.1.0.3 TCP 80"},
	{"shop/web", "shop/web-1", "TCP", "80", "10.1.0.1 -> shop/web-1 10.1.0.2 TCP 80, fd01::1 -> shop/web-1 fd01::2 TCP 80"},
	{"six/pod", "shop/web", "UDP", "53", "fd01::9 -> shop/web-0 fd01::1 UDP 53"},
	{"six/pod", "shop/job-a", "UDP", "53", "error: six/pod and shop/job-a have no address family in common"},
	{"shop/job-a", "shop/web", "TCP", "http", "10.1.0.3 -> shop/web-0 10.1.0.1 TCP 8080, 10.1.0.3 -> shop/web-0 10.1.0.1 TCP 8081"},
	{"shop/job-a", "shop/web", "UDP", "http", `error: port "http": shop/web-0 has no UDP port of that name; it has TCP http (8080), TCP http (8081)`},
	{"shop/job-a", "shop/set-a", "TCP", "http", `error: port "http": shop/set-a has no TCP port of that name`},
	{"shop/job-a", "node/y", "TCP", "ssh", `error: there is no node "node/y"; did you mean node/x or node/n1?`},
	{"shop/job-a", "ip/10.0.0.1", "TCP", "22", "10.1.0.3 -> node/n1 10.0.0.1 TCP 22"},
	{"shop/web-0", "ip/10.0.0.1", "TCP", "22", "10.1.0.1 -> node/n1 10.0.0.1 TCP 22"},
	{"ip/203.0.113.9", "shop/web", "TCP", "80", "203.0.113.9 -> shop/web-0 10.1.0.1 TCP 80"},
	{"shop/job-a", "ip/203.0.113.9", "TCP", "ssh", `error: port "ssh": ip/203.0.113.9 has no names for ports, use a number`},
	{"shop/job-a", "shop/web", "TCP", "0", "error: port 0: use 1 to 65535"},
	{"shop/job-a", "shop/web", "TCP", "65536", "error: port 65536: use 1 to 65535"},
	{"shop/job-a", "shop/web", "TCP", "-1", "error: port -1: use 1 to 65535"},
	{"shop/job-a", "shop/web", "TCP", "", "error: TCP needs a port"},
	{"shop/job-a", "shop/web", "ICMP", "", "10.1.0.3 -> shop/web-0 10.1.0.1 ICMP 2048"},
	{"six/pod", "shop/web", "ICMPv6", "", "fd01::9 -> shop/web-0 fd01::1 ICMPv6 32768"},
	{"six/pod", "shop/web", "ICMP", "", "error: six/pod and shop/web-0 have no address family in common that ICMP goes over"},
	{"shop/job-a", "shop/web", "ICMP", "8", "error: ICMP has no ports: leave the port out"},
	{"shop/job-a", "six/pending", "TCP", "80", "error: six/pending has no address"},
	{"service/shop/web", "shop/job-a", "TCP", "80", "error: service/shop/web does not open connections: name one of its pods"},

	// A service: each backend in the service's families, a named target by pod.
	{"shop/job-a", "service/shop/web", "TCP", "80", "10.1.0.3 -> shop/host 10.0.0.1 TCP 80, 10.1.0.3 -> shop/web-0 10.1.0.1 TCP 8080, 10.1.0.3 -> shop/web-1 10.1.0.2 TCP 8080"},
	{"shop/job-a", "service/shop/web", "TCP", "direct", "10.1.0.3 -> shop/host 10.0.0.1 TCP 8081, 10.1.0.3 -> shop/web-0 10.1.0.1 TCP 8081, 10.1.0.3 -> shop/web-1 10.1.0.2 TCP 8081"},
	{"shop/job-a", "ip/10.96.0.2", "TCP", "http", "10.1.0.3 -> shop/host 10.0.0.1 TCP 80"},
	{"shop/web", "service/shop/both", "TCP", "80", "10.1.0.1 -> shop/host 10.0.0.1 TCP 80, fd01::1 -> shop/host fd00::1 TCP 80"},
	{"shop/web", "ip/fd96::2", "TCP", "80", "fd01::1 -> shop/host fd00::1 TCP 80"},
	{"six/pod", "service/shop/web", "TCP", "80", "error: six/pod and service/shop/web have no address family in common"},
	{"shop/job-a", "service/shop/web", "TCP", "8080", "error: service/shop/web has no port TCP 8080; it has TCP 80 http, TCP 81 direct, TCP 82 other"},
	{"shop/job-a", "service/shop/web", "UDP", "80", "error: service/shop/web has no port UDP 80; it has TCP 80 http, TCP 81 direct, TCP 82 other"},
	{"shop/job-a", "service/shop/web", "TCP", "82", "error: service/shop/web has no backends on port 82: no pod that it selects has a TCP port named other"},
	{"shop/job-a", "service/shop/none", "TCP", "80", "error: service/shop/none has no backends: no pod of namespace shop has the labels it selects"},
	{"shop/job-a", "service/shop/away", "TCP", "80", "error: service/shop/away has no selector: what it leads to is not in the input"},

	// A headless service translates nothing; the name of its port is the pod's.
	{"six/pod", "service/shop/peers", "TCP", "80", "fd01::9 -> shop/host fd00::1 TCP 80, fd01::9 -> shop/web-0 fd01::1 TCP 80, fd01::9 -> shop/web-1 fd01::2 TCP 80"},
	{"shop/job-a", "service/shop/peers", "TCP", "9999", "10.1.0.3 -> shop/host 10.0.0.1 TCP 9999, 10.1.0.3 -> shop/web-0 10.1.0.1 TCP 9999, 10.1.0.3 -> shop/web-1 10.1.0.2 TCP 9999"},
	{"shop/job-a", "service/shop/peers", "TCP", "http", "10.1.0.3 -> shop/host 10.0.0.1 TCP 80, 10.1.0.3 -> shop/web-0 10.1.0.1 TCP 8080, 10.1.0.3 -> shop/web-1 10.1.0.2 TCP 8080"},
	{"shop/job-a", "service/shop/peers", "TCP", "nosuch", "error: service/shop/peers has no port TCP nosuch; it has TCP 80 http"},
}

func TestConnections(t *testing.T) {
	d := New(plan())
	for _, row := range connectionRows {
		if got := ways(t, d, row.from, row.to, row.protocol, row.port); got != row.want {
			t.Errorf("%s -> %s %s %q:\n got %s\nwant %s", row.from, row.to, row.protocol, row.port, got, row.want)
		}
	}
}

func ways(t *testing.T, d *Directory, from, to, protocol, port string) string {
	t.Helper()
	source, err := d.Find(from)
	if err != nil {
		t.Fatal(err)
	}
	target, err := d.Find(to)
	if err != nil {
		return "error: " + err.Error()
	}
	parsed, err := traffic.ParseProtocol(protocol)
	if err != nil {
		t.Fatal(err)
	}
	connections, err := d.Connections(source, target, parsed, port)
	if err != nil {
		return "error: " + err.Error()
	}
	var parts []string
	for _, c := range connections {
		parts = append(parts, fmt.Sprintf("%s -> %s %s %s %d", c.From.Addr, c.To, c.To.Addr, c.Protocol, c.Port))
	}
	return strings.Join(parts, ", ")
}

func TestEditDistance(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"abc", "abd", 1},
		{"abc", "bc", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2},
	} {
		if got := editDistance(row.a, row.b); got != row.want {
			t.Errorf("%q to %q: %d, want %d", row.a, row.b, got, row.want)
		}
	}
}

func TestPlaceWithoutAddressHasItsName(t *testing.T) {
	d := New(plan())
	var got []string
	for _, name := range []string{"six/pending", "service/shop/peers"} {
		place, err := d.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, place.String())
	}
	if diff := cmp.Diff([]string{"six/pending", "service/shop/peers"}, got); diff != "" {
		t.Error(diff)
	}
}
