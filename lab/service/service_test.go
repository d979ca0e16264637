package service

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func addrs(list string) []netip.Addr {
	var found []netip.Addr
	for _, s := range strings.Fields(list) {
		found = append(found, netip.MustParseAddr(s))
	}
	return found
}

func name(s string) cluster.Name {
	namespace, n, _ := strings.Cut(s, "/")
	return cluster.Name{Namespace: namespace, Name: n}
}

// shop is a cluster with two back ends on two nodes, a client, and services.
func shop() *cluster.Snapshot {
	s := cluster.NewSnapshot()
	for i, addr := range []string{"172.18.0.1 fd00:18::1", "172.18.0.2 fd00:18::2"} {
		n := fmt.Sprintf("n%d", i+1)
		s.Nodes[n] = &cluster.Node{Name: n, Addrs: addrs(addr), PodCIDRs: []netip.Prefix{
			netip.MustParsePrefix(fmt.Sprintf("10.244.%d.0/24", i+1)), netip.MustParsePrefix(fmt.Sprintf("fd00:244:%d::/64", i+1)),
		}}
	}
	for _, p := range []*cluster.Pod{
		{Name: name("shop/b1"), Node: "n1", Labels: map[string]string{"app": "b"}, Addrs: addrs("10.244.1.11 fd00:244:1::11"),
			Ports: []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 8080}, {Protocol: traffic.UDP, Number: 53}}},
		{Name: name("shop/b2"), Node: "n2", Labels: map[string]string{"app": "b"}, Addrs: addrs("10.244.2.11 fd00:244:2::11"),
			Ports: []cluster.Port{{Name: "http", Protocol: traffic.TCP, Number: 8081}, {Protocol: traffic.UDP, Number: 53}}},
		{Name: name("shop/client"), Node: "n1", Addrs: addrs("10.244.1.12 fd00:244:1::12")},
		{Name: name("other/b"), Node: "n1", Labels: map[string]string{"app": "b"}, Addrs: addrs("10.244.1.13")},
	} {
		s.Pods[p.Name] = p
	}
	s.Services[name("shop/b")] = &cluster.Service{
		Name: name("shop/b"), ClusterIPs: addrs("10.96.0.1 fd00:96::1"), Selector: map[string]string{"app": "b"},
		Ports: []cluster.ServicePort{
			{Name: "http", Protocol: traffic.TCP, Port: 80, TargetName: "http", NodePort: 30080},
			{Name: "dns", Protocol: traffic.UDP, Port: 53},
		},
	}
	s.Services[name("shop/empty")] = &cluster.Service{
		Name: name("shop/empty"), ClusterIPs: addrs("10.96.0.2"), Selector: map[string]string{"app": "none"},
		Ports: []cluster.ServicePort{{Protocol: traffic.TCP, Port: 80}},
	}
	s.Services[name("shop/headless")] = &cluster.Service{
		Name: name("shop/headless"), Headless: true, Selector: map[string]string{"app": "b"},
		Ports: []cluster.ServicePort{{Protocol: traffic.TCP, Port: 80}},
	}
	s.Services[name("shop/manual")] = &cluster.Service{
		Name: name("shop/manual"), ClusterIPs: addrs("10.96.0.3"), Ports: []cluster.ServicePort{{Protocol: traffic.TCP, Port: 80}},
	}
	return s
}

func TestEntries(t *testing.T) {
	var got []string
	for _, e := range Entries(shop()) {
		got = append(got, fmt.Sprint(e.name(), " ", e.Addr, " ", e.Backends))
	}
	want := []string{
		"cluster4/shop/b/tcp/80 10.96.0.1 [10.244.1.11:8080 10.244.2.11:8081]",
		"cluster6/shop/b/tcp/80 fd00:96::1 [[fd00:244:1::11]:8080 [fd00:244:2::11]:8081]",
		"node4/shop/b/tcp/30080 0.0.0.0 [10.244.1.11:8080 10.244.2.11:8081]",
		"node6/shop/b/tcp/30080 :: [[fd00:244:1::11]:8080 [fd00:244:2::11]:8081]",
		"cluster4/shop/b/udp/53 10.96.0.1 [10.244.1.11:53 10.244.2.11:53]",
		"cluster6/shop/b/udp/53 fd00:96::1 [[fd00:244:1::11]:53 [fd00:244:2::11]:53]",
		"cluster4/shop/empty/tcp/80 10.96.0.2 []",
		"cluster4/shop/manual/tcp/80 10.96.0.3 []",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// stage is the shop with listeners on its container ports and a proxy on each
// node.
type stage struct {
	*network.Network
	snapshot *cluster.Snapshot
	proxies  []*Proxy
}

func newStage(t *testing.T, mode network.Mode) *stage {
	t.Helper()
	n, err := network.New(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	st := &stage{Network: n, snapshot: shop()}
	for _, node := range st.snapshot.Nodes {
		if err := n.AddNode(node); err != nil {
			t.Fatal(err)
		}
		p, err := Open(n.Node(node.Name))
		if err != nil {
			t.Fatal(err)
		}
		st.proxies = append(st.proxies, p)
	}
	for _, pod := range st.snapshot.Pods {
		if err := n.AddPod(pod); err != nil {
			t.Fatal(err)
		}
		for _, port := range pod.Ports {
			st.listen(t, pod, port)
		}
	}
	st.apply(t)
	return st
}

func (st *stage) listen(t *testing.T, pod *cluster.Pod, port cluster.Port) {
	t.Helper()
	greeter := listen.Greeter{Name: pod.Name.String()}
	var l listen.Listener
	var err error
	if port.Protocol == traffic.UDP {
		l, err = listen.OpenDatagram(st.Pod(pod.Name), port.Number, greeter.Datagram)
	} else {
		l, err = listen.OpenStream(st.Pod(pod.Name), port.Protocol, port.Number, greeter.Stream)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func (st *stage) apply(t *testing.T) {
	t.Helper()
	for _, p := range st.proxies {
		if err := p.Apply(Entries(st.snapshot)); err != nil {
			t.Fatal(err)
		}
	}
}

// ask is what answers at an address, "refused", or the error.
func ask(from *space.Space, network, address string) string {
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial(network, address)
		return err
	})
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err = io.WriteString(conn, "hello\n"); err == nil {
			var line string
			if line, err = bufio.NewReader(conn).ReadString('\n'); err == nil {
				return strings.TrimSpace(line)
			}
		}
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return "refused"
	}
	return err.Error()
}

func TestServicesLeadToBackends(t *testing.T) {
	for _, mode := range []network.Mode{network.Routed, network.Bridged} {
		t.Run(mode.String(), func(t *testing.T) {
			st := newStage(t, mode)
			client, outside := st.Pod(name("shop/client")), st.Outside()
			for _, row := range []struct {
				what             string
				from             *space.Space
				network, address string
				want             []string // each must come sometimes
			}{
				{"cluster IP", client, "tcp", "10.96.0.1:80", []string{"shop/b1 from 10.244.1.12", "shop/b2 from 10.244.1.12"}},
				{"IPv6", client, "tcp", "[fd00:96::1]:80", []string{"shop/b1 from fd00:244:1::12", "shop/b2 from fd00:244:1::12"}},
				{"UDP", client, "udp", "10.96.0.1:53", []string{"shop/b1 from 10.244.1.12", "shop/b2 from 10.244.1.12"}},
				{"from a node", st.Node("n2"), "tcp", "10.96.0.1:80", []string{"shop/b1 from 172.18.0.2"}},
				{"node port", outside, "tcp", "172.18.0.1:30080", []string{"shop/b2 from 172.18.0.1"}},
				{"node port over IPv6", outside, "tcp", "[fd00:18::1]:30080", []string{"shop/b2 from fd00:18::1"}},
				{"node port of a pod's own node", client, "tcp", "172.18.0.1:30080", []string{"shop/b2 from 172.18.0.1"}},
				{"another port", client, "tcp", "10.96.0.1:81", []string{"refused"}},
				{"another port over IPv6", client, "tcp", "[fd00:96::1]:81", []string{"refused"}},
				{"no backends", client, "tcp", "10.96.0.2:80", []string{"refused"}},
				{"no backends for UDP", client, "udp", "10.96.0.2:53", []string{"refused"}},
				{"no selector", client, "tcp", "10.96.0.3:80", []string{"refused"}},
				{"refused to a node", st.Node("n1"), "tcp", "10.96.0.2:80", []string{"refused"}},
			} {
				seen := map[string]bool{}
				for range 60 { // a backend is missed 60 times once in 10^18 runs
					seen[ask(row.from, row.network, row.address)] = true
				}
				for _, want := range row.want {
					if !seen[want] {
						t.Errorf("%s: never %q, but %v", row.what, want, seen)
					}
				}
			}
		})
	}
}

func TestBackendReachesItselfThroughItsService(t *testing.T) {
	for _, mode := range []network.Mode{network.Routed, network.Bridged} {
		st := newStage(t, mode)
		st.snapshot.Pods[name("shop/b2")].Labels = nil
		st.apply(t)
		for address, source := range map[string]string{"10.96.0.1:80": "172.18.0.1", "[fd00:96::1]:80": "fd00:18::1"} {
			if mode == network.Bridged { // the node's nearest address
				source = map[string]string{"172.18.0.1": "10.244.1.1", "fd00:18::1": "fd00:244:1::1"}[source]
			}
			if got := ask(st.Pod(name("shop/b1")), "tcp", address); got != "shop/b1 from "+source {
				t.Errorf("%s, %s: %s", mode, address, got)
			}
		}
	}
}

func TestApplyChangesWhatChanged(t *testing.T) {
	st := newStage(t, network.Routed)
	client := st.Pod(name("shop/client"))
	st.snapshot.Pods[name("shop/b1")].Labels = nil
	st.apply(t)
	for range 20 {
		if got := ask(client, "tcp", "10.96.0.1:80"); got != "shop/b2 from 10.244.1.12" {
			t.Fatalf("without b1: %s", got)
		}
	}
	delete(st.snapshot.Services, name("shop/b"))
	if err := st.Hide(addrs("10.96.0.1")...); err != nil { // as nobody's address it would be outside
		t.Fatal(err)
	}
	st.apply(t)
	if got := ask(client, "tcp", "172.18.0.1:30080"); got != "refused" {
		t.Errorf("node port of a removed service: %s", got)
	}
	for _, p := range st.proxies {
		if len(p.entries) != 2 || len(p.families[1].services.have) != 0 || len(p.families[0].hairpins.have) != 0 {
			t.Errorf("left: %v, %v, %v", p.entries, p.families[1].services.have, p.families[0].hairpins.have)
		}
	}
	st.snapshot = shop()
	st.apply(t)
	if got := ask(client, "udp", "10.96.0.1:53"); !strings.HasPrefix(got, "shop/b") {
		t.Errorf("added again: %s", got)
	}
}

func TestManyServices(t *testing.T) {
	st := newStage(t, network.Routed)
	for i := range 1000 {
		n := name(fmt.Sprintf("many/s%d", i))
		st.snapshot.Services[n] = &cluster.Service{
			Name: n, ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)})},
			Ports: []cluster.ServicePort{{Protocol: traffic.TCP, Port: 80, TargetPort: 8080}}, Selector: map[string]string{"app": "many"},
		}
	}
	pod := *st.snapshot.Pods[name("shop/b1")]
	pod.Name, pod.Labels = name("many/p"), map[string]string{"app": "many"}
	st.snapshot.Pods[pod.Name] = &pod
	st.apply(t)
	if got := ask(st.Pod(name("shop/client")), "tcp", "10.97.3.231:80"); got != "shop/b1 from 10.244.1.12" {
		t.Errorf("the last one: %s", got)
	}
}

func TestTableIsListable(t *testing.T) {
	st := newStage(t, network.Routed)
	var out []byte
	err := st.Node("n1").Do(func() (err error) {
		out, err = exec.Command("nft", "list", "table", "inet", "services").CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		"10.96.0.1 . tcp . 80 : goto cluster4/shop/b/tcp/80",
		"tcp . 30080 : goto node4/shop/b/tcp/30080",
		"numgen random mod 2 0 dnat ip to 10.244.1.11:8080",
		"dnat ip6 to [fd00:244:2::11]:8081",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
