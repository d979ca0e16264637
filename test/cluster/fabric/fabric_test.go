package fabric

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

func init() { runtime.LockOSThread() }

func TestEveryoneReachesEveryone(t *testing.T) {
	for _, pods := range []PodNetwork{Routed, Bridged} {
		for _, families := range []string{"ipv4", "ipv6", "ipv4,ipv6"} {
			t.Run(fmt.Sprint(pods, " ", families), func(t *testing.T) {
				f, err := ParseFamilies(families)
				if err != nil {
					t.Fatal(err)
				}
				testReach(t, Plan{Families: f, Pods: pods})
			})
		}
	}
}

// A place is a namespace with its addresses.
type place struct {
	name  string
	view  ns.View
	addrs []netip.Addr
}

func testReach(t *testing.T, plan Plan) {
	outside := newNet(t)
	f, err := New(outside, plan)
	if err != nil {
		t.Fatal(err)
	}
	var gateways []netip.Addr
	for _, g := range plan.Gateway() {
		gateways = append(gateways, g.Addr())
	}
	places := []place{{"outside", outside, gateways}}
	var nodes []*Node
	for i := 1; i <= 2; i++ {
		view := newNet(t)
		n, err := f.AddNode(i, view)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
		places = append(places, place{n.Name, view, n.Addresses})
		for _, name := range []string{"a", "b"} {
			pod := newNet(t)
			port, err := n.Attach(pod, name)
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, place{n.Name + "/" + name, pod, port.Addresses})
		}
	}
	if err := f.Introduce(nodes[0], nodes[1]); err != nil {
		t.Fatal(err)
	}
	for _, to := range places {
		for _, address := range to.addrs {
			target := serve(t, to, address)
			for _, from := range places {
				if err := from.view.Do(func() error { return exchange(target) }); err != nil {
					t.Errorf("%s does not reach %s at %s: %v", from.name, to.name, address, err)
				}
			}
		}
	}
}

func newNet(t *testing.T) ns.View {
	t.Helper()
	v, err := ns.New(ns.View{}, unix.CLONE_NEWNET, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// serve answers with the address of the client, and returns its own.
func serve(t *testing.T, at place, address netip.Addr) string {
	t.Helper()
	var listener net.Listener
	if err := at.view.Do(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, conn.RemoteAddr())
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

// exchange checks too that nobody translated the client's address.
func exchange(target string) error {
	conn, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	seen := make([]byte, 64)
	n, err := conn.Read(seen)
	if err == nil && string(seen[:n]) != conn.LocalAddr().String() {
		err = fmt.Errorf("seen as %s, not %s", seen[:n], conn.LocalAddr())
	}
	return err
}

func TestBridgedTrafficIsShownToTheHooks(t *testing.T) {
	plan := Plan{Families: []Family{IPv4}, Pods: Bridged}
	f, err := New(newNet(t), plan)
	if err != nil {
		t.Fatal(err)
	}
	view := newNet(t)
	if _, err := f.AddNode(1, view); err != nil {
		t.Fatal(err)
	}
	_ = view.Do(func() error {
		for _, s := range bridgeSettings("1") {
			value, err := os.ReadFile(filepath.Join("/proc/sys", s.name))
			if err != nil || strings.TrimSpace(string(value)) != "1" {
				t.Errorf("%s is %q, %v", s.name, value, err)
			}
		}
		return nil
	})
}

func newNode1(t *testing.T, plan Plan) *Node {
	t.Helper()
	f, err := New(newNet(t), plan)
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.AddNode(1, newNet(t))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAddressesRestUnlessReused(t *testing.T) {
	for _, c := range []struct {
		reuse bool
		want  string
	}{{false, "10.244.1.3"}, {true, "10.244.1.2"}} {
		n := newNode1(t, Plan{Families: []Family{IPv4}, Pods: Routed, ReuseAddresses: c.reuse})
		first, err := n.Attach(newNet(t), "a")
		if err != nil {
			t.Fatal(err)
		}
		n.Detach(first)
		second, err := n.Attach(newNet(t), "b")
		if err != nil {
			t.Fatal(err)
		}
		if got := second.Addresses[0].String(); got != c.want {
			t.Errorf("reuse %v: the second pod has %s, not %s", c.reuse, got, c.want)
		}
	}
}

func TestANodeFillsUp(t *testing.T) {
	n := &Node{used: map[int]bool{}}
	seen := map[int]bool{}
	for i := range PodsPerNode {
		position, err := n.take()
		if err != nil || seen[position] || position < 2 || position > 254 {
			t.Fatalf("pod %d gets position %d, %v", i, position, err)
		}
		seen[position] = true
	}
	if _, err := n.take(); !errors.Is(err, ErrFull) {
		t.Errorf("one pod too many: %v", err)
	}
}

func TestParseFamilies(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Family
	}{
		{"ipv4", []Family{IPv4}},
		{"ipv6,ipv4", []Family{IPv6, IPv4}},
		{"ipv4, ipv6", []Family{IPv4, IPv6}},
		{"", nil},
		{"ipv4,ipv4", nil},
		{"ipv4,ipv6,ipv4", nil},
		{"dual", nil},
	} {
		got, err := ParseFamilies(c.in)
		if !slices.Equal(got, c.want) && c.want != nil || (err == nil) != (c.want != nil) {
			t.Errorf("%q: %v, %v", c.in, got, err)
		}
	}
}

func TestPlan(t *testing.T) {
	plan := Plan{Families: []Family{IPv4, IPv6}}
	for _, c := range []struct {
		name string
		got  any
		want string
	}{
		{"gateway", plan.Gateway(), "[172.18.0.1/16 fd00:172:18::1/64]"},
		{"node", plan.Node(2), "[172.18.0.12/16 fd00:172:18::c/64]"},
		{"pods", plan.PodRanges(2), "[10.244.2.0/24 fd00:10:244:2::/64]"},
		{"last pods", plan.PodRanges(MaxNodes), "[10.244.200.0/24 fd00:10:244:c8::/64]"},
		{"services", plan.ServiceRanges(), "[10.96.0.0/16 fd00:10:96::/112]"},
		{"api", plan.APIService(), "10.96.0.1"},
		{"dns", plan.DNSService(), "[10.96.0.10 fd00:10:96::a]"},
	} {
		if got := fmt.Sprint(c.got); got != c.want {
			t.Errorf("%s is %s, not %s", c.name, got, c.want)
		}
	}
}
