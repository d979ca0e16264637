// Package network connects network namespaces into the network of a cluster:
// nodes, their pods, and an outside host that has every other address.
//
// A router that only this package knows, the fabric, joins the nodes and the
// outside host with one veth pair each. Every address has a route of its own, so
// that nodes and pods may have any addresses, those of a real cluster's dump
// included, and all neighbours are set by hand, so that no packet waits for
// address resolution. In a bridged network this is different for pods of one
// node: they resolve each other on a Linux bridge, whose frames pass the
// node's IP hooks (bridge-nf-call-iptables).
//
// A Network owns its namespaces and devices; Close lets go of them, and the
// kernel removes them once no socket or process is left inside. Its methods may
// be called by several goroutines, each object by one at a time.
package network

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// Mode is how pods are connected to their node. Its zero value is Routed.
type Mode uint8

// The modes.
const (
	// Routed: each pod has a veth pair and a route to each of its addresses,
	// which may be any.
	Routed Mode = iota
	// Bridged: the pods of a node are ports of a bridge and have addresses of
	// the node's pod CIDRs.
	Bridged
)

// String is "routed" or "bridge".
func (m Mode) String() string {
	switch m {
	case Routed:
		return "routed"
	case Bridged:
		return "bridge"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode reads what String writes.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{Routed, Bridged} {
		if s == m.String() {
			return m, nil
		}
	}
	return Routed, fmt.Errorf("unknown pod network %q: use routed or bridge", s)
}

// Network is a cluster's network.
type Network struct {
	mode    Mode
	ipv6    bool
	fabric  *host
	outside *host
	uplink  line // from the outside host to the fabric

	mu    sync.Mutex
	nodes map[string]*node
	pods  map[cluster.Name]*pod
	wires int // how many were ever drawn, for device names
}

// New makes a network with an outside host and no nodes.
func New(mode Mode) (*Network, error) {
	n := &Network{mode: mode, nodes: map[string]*node{}, pods: map[cluster.Name]*pod{}}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Network) build() error {
	var err error
	if n.fabric, err = newHost(); err != nil {
		return err
	}
	if n.ipv6, err = n.fabric.space.Has("ipv6"); err != nil {
		return err
	}
	if err := n.fabric.settle(n.settings(router)...); err != nil {
		return err
	}
	return n.addOutside()
}

// IPv6 tells whether the kernel has IPv6. Without it, IPv6 addresses are left
// out.
func (n *Network) IPv6() bool { return n.ipv6 }

// Mode is the network's mode.
func (n *Network) Mode() Mode { return n.mode }

// Outside is the outside host's namespace. Every address that no node and no
// pod has is local to it.
func (n *Network) Outside() *space.Space { return n.outside.space }

// Node is a node's namespace, nil if there is no such node.
func (n *Network) Node(name string) *space.Space {
	n.mu.Lock()
	defer n.mu.Unlock()
	if node, ok := n.nodes[name]; ok {
		return node.space
	}
	return nil
}

// Pod is a pod's namespace, nil if there is no such pod. A pod on its node's
// network has its node's.
func (n *Network) Pod(name cluster.Name) *space.Space {
	n.mu.Lock()
	defer n.mu.Unlock()
	if pod, ok := n.pods[name]; ok {
		return pod.space
	}
	return nil
}

// Close lets go of everything.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, pod := range n.pods {
		errs = append(errs, pod.close())
	}
	for _, node := range n.nodes {
		errs = append(errs, node.close())
	}
	for _, h := range []*host{n.outside, n.fabric} {
		if h != nil {
			errs = append(errs, h.close())
		}
	}
	return errors.Join(errs...)
}

// device is a device name that was not used before.
func (n *Network) device(kind string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wires++
	return fmt.Sprintf("%s%d", kind, n.wires)
}

// usable are the addresses of families that the kernel has.
func (n *Network) usable(addrs []netip.Addr) []netip.Addr {
	var found []netip.Addr
	for _, a := range addrs {
		if a.Is4() || n.ipv6 {
			found = append(found, a)
		}
	}
	return found
}
