package kerneltest

import (
	"net/netip"
	"testing"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// World is a cluster of real namespaces: the pods a and b on node one, c on node
// two, and an outside host.
type World struct {
	*network.Network
	addrs map[string][]netip.Addr
}

// The nodes' names.
const (
	NodeOne = "one"
	NodeTwo = "two"
	Outside = "outside"
)

// NewWorld makes a world that ends with the test.
func NewWorld(t testing.TB, mode network.Mode) *World {
	t.Helper()
	n, err := network.New(mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &World{n, map[string][]netip.Addr{Outside: n.OutsideAddrs()}}
	w.addNode(t, NodeOne, "172.18.0.2", "fd00:18::2", "10.1.1.0/24", "fd00:1:1::/64")
	w.addNode(t, NodeTwo, "172.18.0.3", "fd00:18::3", "10.1.2.0/24", "fd00:1:2::/64")
	w.addPod(t, "a", NodeOne, "10.1.1.10", "fd00:1:1::10")
	w.addPod(t, "b", NodeOne, "10.1.1.11", "fd00:1:1::11")
	w.addPod(t, "c", NodeTwo, "10.1.2.10", "fd00:1:2::10")
	return w
}

func (w *World) addNode(t testing.TB, name, v4, v6, cidr4, cidr6 string) {
	t.Helper()
	w.addrs[name] = []netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}
	cidrs := []netip.Prefix{netip.MustParsePrefix(cidr4), netip.MustParsePrefix(cidr6)}
	if err := w.AddNode(&cluster.Node{Name: name, Addrs: w.addrs[name], PodCIDRs: cidrs}); err != nil {
		t.Fatal(err)
	}
}

func (w *World) addPod(t testing.TB, name, node, v4, v6 string) {
	t.Helper()
	w.addrs[name] = []netip.Addr{netip.MustParseAddr(v4), netip.MustParseAddr(v6)}
	if err := w.AddPod(&cluster.Pod{Name: podName(name), Node: node, Addrs: w.addrs[name]}); err != nil {
		t.Fatal(err)
	}
}

func podName(name string) cluster.Name { return cluster.Name{Namespace: "x", Name: name} }

// Place is the namespace of a pod, a node or the outside host.
func (w *World) Place(name string) *space.Space {
	switch name {
	case NodeOne, NodeTwo:
		return w.Node(name)
	case Outside:
		return w.Network.Outside()
	}
	return w.Pod(podName(name))
}

// V4 and V6 are a place's addresses.
func (w *World) V4(name string) netip.Addr { return w.addrs[name][0] }

// V6 is a place's IPv6 address.
func (w *World) V6(name string) netip.Addr { return w.addrs[name][1] }

// Both are a place's addresses of both families.
func (w *World) Both(name string) []netip.Addr { return w.addrs[name] }
