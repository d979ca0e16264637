package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrs(list string) []netip.Addr {
	var found []netip.Addr
	for _, s := range strings.Fields(list) {
		found = append(found, addr(s))
	}
	return found
}

func prefixes(list string) []netip.Prefix {
	var found []netip.Prefix
	for _, s := range strings.Fields(list) {
		found = append(found, netip.MustParsePrefix(s))
	}
	return found
}

func newPod(name, node, list string) *cluster.Pod {
	return &cluster.Pod{Name: cluster.Name{Namespace: "x", Name: name}, Node: node, Addrs: addrs(list)}
}

// twoNodes is a network with two pods on n1 and one on n2.
func twoNodes(t *testing.T, mode Mode) *Network {
	t.Helper()
	n, err := New(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, node := range []*cluster.Node{
		{Name: "n1", Addrs: addrs("172.18.0.2 fd00:18::2"), PodCIDRs: prefixes("10.244.1.0/24 fd00:244:1::/64")},
		{Name: "n2", Addrs: addrs("172.18.0.3 fd00:18::3"), PodCIDRs: prefixes("10.244.2.0/24 fd00:244:2::/64")},
	} {
		if err := n.AddNode(node); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*cluster.Pod{
		newPod("a", "n1", "10.244.1.10 fd00:244:1::10"),
		newPod("b", "n1", "10.244.1.11 fd00:244:1::11"),
		newPod("c", "n2", "10.244.2.10 fd00:244:2::10"),
		{Name: cluster.Name{Namespace: "x", Name: "host"}, Node: "n2", Addrs: addrs("172.18.0.3"), HostNetwork: true},
	} {
		if err := n.AddPod(p); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// place is the namespace of a pod, a node or the outside host.
func (n *Network) place(name string) *space.Space {
	if name == "outside" {
		return n.Outside()
	}
	if s := n.Node(name); s != nil {
		return s
	}
	return n.Pod(cluster.Name{Namespace: "x", Name: name})
}

// meet sends a request and its answer between two places and returns the
// address that the receiver saw. An empty source is the sender's own choice.
func meet(from, to *space.Space, source, dest string) (seen netip.Addr, err error) {
	var l net.Listener
	err = to.Do(func() error {
		l, err = net.Listen("tcp", netip.AddrPortFrom(unspecified(dest), 0).String())
		return err
	})
	if err != nil {
		return seen, err
	}
	defer l.Close()
	accepted := make(chan netip.Addr, 1)
	go func() {
		if conn, err := l.Accept(); err == nil {
			accepted <- conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			conn.Close()
		}
	}()
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if source != "" {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr(source), 0))
	}
	err = from.Do(func() error {
		conn, err := dialer.Dial("tcp", fmt.Sprintf("[%s]:%d", dest, l.Addr().(*net.TCPAddr).Port))
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		return seen, err
	}
	return <-accepted, nil
}

func unspecified(dest string) netip.Addr {
	if addr(dest).Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func TestEverybodyMeets(t *testing.T) {
	for _, mode := range []Mode{Routed, Bridged} {
		t.Run(mode.String(), func(t *testing.T) {
			n := twoNodes(t, mode)
			for _, row := range []struct{ from, source, to, dest, seen string }{
				{"a", "", "b", "10.244.1.11", "10.244.1.10"},
				{"a", "", "c", "10.244.2.10", "10.244.1.10"},
				{"c", "", "a", "10.244.1.10", "10.244.2.10"},
				{"a", "", "a", "10.244.1.10", "10.244.1.10"},
				{"a", "", "b", "fd00:244:1::11", "fd00:244:1::10"},
				{"c", "", "a", "fd00:244:1::10", "fd00:244:2::10"},
				{"a", "", "n1", "172.18.0.2", "10.244.1.10"},
				{"a", "", "n2", "172.18.0.3", "10.244.1.10"},
				{"a", "", "host", "172.18.0.3", "10.244.1.10"},
				{"host", "", "a", "10.244.1.10", "172.18.0.3"},
				{"n2", "", "n1", "172.18.0.2", "172.18.0.3"},
				{"n2", "", "n1", "fd00:18::2", "fd00:18::3"},
				{"n2", "", "a", "10.244.1.10", "172.18.0.3"},
				{"a", "", "outside", "192.0.2.1", "10.244.1.10"},
				{"a", "", "outside", "8.8.8.8", "10.244.1.10"},
				{"a", "", "outside", "169.254.169.254", "10.244.1.10"},
				{"n1", "", "outside", "169.254.169.254", "172.18.0.2"},
				{"a", "", "outside", "10.244.3.3", "10.244.1.10"},
				{"a", "", "outside", "2001:db8::1", "fd00:244:1::10"},
				{"a", "", "outside", "2600::1", "fd00:244:1::10"},
				{"outside", "", "a", "10.244.1.10", "192.0.2.1"},
				{"outside", "203.0.113.9", "c", "10.244.2.10", "203.0.113.9"},
				{"outside", "203.0.113.9", "n1", "172.18.0.2", "203.0.113.9"},
				{"outside", "2600::1", "c", "fd00:244:2::10", "2600::1"},
			} {
				seen, err := meet(n.place(row.from), n.place(row.to), row.source, row.dest)
				if err != nil || seen != addr(row.seen) {
					t.Errorf("%s to %s at %s: seen as %s, want %s; %v", row.from, row.to, row.dest, seen, row.seen, err)
				}
			}
		})
	}
}

func TestFromOneNodesPodToItsNode(t *testing.T) {
	n := twoNodes(t, Bridged)
	if seen, err := meet(n.place("n1"), n.place("a"), "", "10.244.1.10"); err != nil || seen != addr("10.244.1.1") {
		t.Errorf("the node is seen as %s, want its bridge's address; %v", seen, err)
	}
}

func TestRoutedPodsHaveAnyAddress(t *testing.T) {
	n := twoNodes(t, Routed)
	if err := n.AddPod(newPod("far", "n2", "198.18.7.7")); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"a", "c", "n1", "outside"} {
		if _, err := meet(n.place(from), n.place("far"), "", "198.18.7.7"); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
	}
}

func TestRemovedPodsAreGone(t *testing.T) {
	for _, mode := range []Mode{Routed, Bridged} {
		n := twoNodes(t, mode)
		c := cluster.Name{Namespace: "x", Name: "c"}
		if err := n.RemovePod(c); err != nil {
			t.Fatal(err)
		}
		if n.Pod(c) != nil {
			t.Error("the namespace is still known")
		}
		// Its address is outside now, like any that nobody has.
		if mode == Routed {
			if _, err := meet(n.place("a"), n.Outside(), "", "10.244.2.10"); err != nil {
				t.Error(err)
			}
		}
		if err := n.AddPod(newPod("c", "n1", "10.244.1.12")); err != nil {
			t.Fatalf("add it again elsewhere: %v", err)
		}
		if _, err := meet(n.place("a"), n.place("c"), "", "10.244.1.12"); err != nil {
			t.Error(err)
		}
	}
}

// TestNeighboursStayKnown: what pods of a bridge have learnt of each other and of
// their gateway stays true when pods come and go, for they use it for long.
func TestNeighboursStayKnown(t *testing.T) {
	n := twoNodes(t, Bridged)
	talk := func() {
		t.Helper()
		for dest, to := range map[string]string{"10.244.1.11": "b", "10.244.2.10": "c", "fd00:244:1::11": "b", "fd00:244:2::10": "c"} {
			if _, err := meet(n.place("a"), n.place(to), "", dest); err != nil {
				t.Errorf("to %s at %s: %v", to, dest, err)
			}
		}
	}
	talk()
	for i := range 20 {
		if err := n.AddPod(newPod(fmt.Sprintf("more-%d", i), "n1", fmt.Sprintf("10.244.1.%d", 100+i))); err != nil {
			t.Fatal(err)
		}
	}
	talk()
	for _, name := range []string{"more-3", "b"} {
		if err := n.RemovePod(cluster.Name{Namespace: "x", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.AddPod(newPod("b", "n1", "10.244.1.11 fd00:244:1::11")); err != nil {
		t.Fatal(err)
	}
	talk()
	link, err := n.nodes["n1"].links.LinkByName(bridgeDevice)
	if err != nil || link.Attrs().HardwareAddr.String() != bridgeMAC.String() {
		t.Errorf("the bridge is %s now, was %s; %v", link.Attrs().HardwareAddr, bridgeMAC, err)
	}
}

func TestRemovedNodesAreGone(t *testing.T) {
	n := twoNodes(t, Routed)
	for _, name := range []string{"c", "host"} {
		if err := n.RemovePod(cluster.Name{Namespace: "x", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.RemoveNode("n2"); err != nil {
		t.Fatal(err)
	}
	links, err := n.fabric.links.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if link.Attrs().Alias == "n2" {
			t.Errorf("device %s is left", link.Attrs().Name)
		}
	}
}

func TestHiddenAddressesAreNotOutside(t *testing.T) {
	n := twoNodes(t, Routed)
	service := addr("10.96.0.10")
	if _, err := meet(n.Outside(), n.Outside(), "", service.String()); err != nil {
		t.Fatalf("before: %v", err)
	}
	if err := n.Hide(service); err != nil {
		t.Fatal(err)
	}
	if _, err := meet(n.Outside(), n.Outside(), "", service.String()); !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("hidden: %v", err)
	}
	if err := n.Unhide(service); err != nil {
		t.Fatal(err)
	}
	if _, err := meet(n.Outside(), n.Outside(), "", service.String()); err != nil {
		t.Errorf("after: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	n := twoNodes(t, Bridged)
	for want, err := range map[string]error{
		`no node "n9"`:            n.AddPod(newPod("z", "n9", "10.244.1.9")),
		"in no pod CIDR":          n.AddPod(newPod("z", "n1", "10.9.9.9")),
		"no such pod":             n.RemovePod(cluster.Name{Namespace: "x", Name: "z"}),
		"no such node":            n.RemoveNode("n9"),
		`unknown pod network "x"`: second(ParseMode("x")),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func second(_ Mode, err error) error { return err }

func TestCheck(t *testing.T) {
	node := &cluster.Node{Name: "n1", PodCIDRs: prefixes("10.244.1.0/24")}
	for _, row := range []struct{ addr, want string }{
		{"10.244.1.5", ""},
		{"10.244.2.5", "pod x/p has address 10.244.2.5, outside the pod CIDRs of node n1: a bridge cannot carry it; use --network routed"},
		{"10.244.1.1", "pod x/p has address 10.244.1.1, which is the bridge's own on node n1: a bridge cannot carry it; use --network routed"},
	} {
		snapshot := cluster.NewSnapshot()
		snapshot.Nodes["n1"] = node
		snapshot.Pods[cluster.Name{Namespace: "x", Name: "p"}] = newPod("p", "n1", row.addr)
		if err := Routed.Check(snapshot); err != nil {
			t.Errorf("routed, %s: %v", row.addr, err)
		}
		got := ""
		if err := Bridged.Check(snapshot); err != nil {
			got = err.Error()
		}
		if got != row.want {
			t.Errorf("%s: got %q, want %q", row.addr, got, row.want)
		}
	}
}
