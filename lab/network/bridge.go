package network

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// bridgeDevice is the bridge's name, the one that the bridge CNI plugin uses.
const bridgeDevice = "cni0"

// bridgeMAC stays the same whatever ports come and go. Of itself a bridge takes
// the smallest of its ports', and pods would go on using the one they know.
var bridgeMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x03}

// podMAC is derived from the pod's address, so that a pod that takes over the
// address of another is reached by who knew that one.
func podMAC(addr netip.Addr) net.HardwareAddr {
	bytes := addr.As16()
	return net.HardwareAddr{0x0a, 0x58, bytes[12], bytes[13], bytes[14], bytes[15]}
}

// bridge is what the pods of a node are ports of.
type bridge struct {
	index    int
	gateways []netip.Prefix // the bridge's addresses with their pod CIDR's length
}

// newBridge makes a node's bridge with an address in each of its pod CIDRs.
func (n *Network) newBridge(h *host, cidrs []netip.Prefix) (*bridge, error) {
	if err := filterFrames(h.space, n.ipv6); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = bridgeDevice, bridgeMAC
	snoop := false // nobody queries, so snooping would lose neighbour discovery
	link := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snoop}
	if err := h.links.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("create bridge: %w", err)
	}
	if err := h.up(bridgeDevice); err != nil {
		return nil, err
	}
	b := &bridge{index: link.Index}
	for _, cidr := range cidrs {
		if cidr.Addr().Is4() || n.ipv6 {
			b.gateways = append(b.gateways, gateway(cidr))
		}
	}
	return b, assign(h.links, b.index, b.gateways...)
}

// filterFrames makes frames between a bridge's ports pass the IP hooks, without
// which pods of one node would reach each other whatever the policies.
func filterFrames(s *space.Space, ipv6 bool) error {
	settings := []space.Sysctl{{Path: "bridge/bridge-nf-call-iptables", Value: "1"}}
	if ipv6 {
		settings = append(settings, space.Sysctl{Path: "bridge/bridge-nf-call-ip6tables", Value: "1"})
	}
	err := s.Set(settings...)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: the kernel does not filter bridged frames; load its module (modprobe br_netfilter) or use --network routed", err)
	}
	return err
}

// gateway is the first address of a pod CIDR.
func gateway(cidr netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(cidr.Masked().Addr().Next(), cidr.Bits())
}

func (n *Network) connectBridged(added *pod, alias string) error {
	device := n.device("pod")
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Alias, attrs.MasterIndex = device, alias, added.node.bridge.index
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: hostDevice, PeerNamespace: netlink.NsFd(added.own.space.FD()),
	}
	if len(added.addrs) > 0 {
		veth.PeerHardwareAddr = podMAC(added.addrs[0])
	}
	if err := added.node.links.LinkAdd(veth); err != nil {
		return fmt.Errorf("create veth pair %s: %w", device, err)
	}
	added.port = veth.Index
	// A pod that reaches itself through a service comes back to its own port:
	// frames with a translated destination stay on the bridge.
	if err := added.node.links.LinkSetHairpin(veth, true); err != nil {
		return fmt.Errorf("let %s send back: %w", device, err)
	}
	eth0, err := added.joinSubnets()
	if err != nil {
		return err
	}
	if err := added.node.links.LinkSetUp(veth); err != nil {
		return fmt.Errorf("start device %s: %w", device, err)
	}
	return errors.Join(
		awaitCarrier(added.own.links, eth0),
		awaitCarrier(added.node.links, added.port),
		awaitCarrier(added.node.links, added.node.bridge.index))
}

// joinSubnets gives the pod its addresses and its node as its gateway, and
// returns its device.
func (p *pod) joinSubnets() (device int, err error) {
	link, err := p.own.links.LinkByName(hostDevice)
	if err != nil {
		return 0, fmt.Errorf("find device %s: %w", hostDevice, err)
	}
	if err := p.own.links.LinkSetUp(link); err != nil {
		return 0, fmt.Errorf("start device %s: %w", hostDevice, err)
	}
	device = link.Attrs().Index
	for _, addr := range p.addrs {
		if err := p.joinSubnet(device, addr); err != nil {
			return 0, err
		}
	}
	return device, nil
}

func (p *pod) joinSubnet(device int, addr netip.Addr) error {
	gw, err := p.node.bridge.gatewayOf(addr)
	if err != nil {
		return err
	}
	if err := assign(p.own.links, device, netip.PrefixFrom(addr, gw.Bits())); err != nil {
		return err
	}
	if err := p.own.links.RouteReplace(&netlink.Route{LinkIndex: device, Gw: gw.Addr().AsSlice()}); err != nil {
		return fmt.Errorf("add route by %s: %w", gw.Addr(), err)
	}
	return nil
}

func (b *bridge) gatewayOf(addr netip.Addr) (netip.Prefix, error) {
	for _, gw := range b.gateways {
		if gw.Masked().Contains(addr) {
			return gw, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("address %s is in no pod CIDR of the node", addr)
}

// Check tells whether the mode can carry a cluster's addresses, before anything
// is made.
func (m Mode) Check(snapshot *cluster.Snapshot) error {
	if m == Routed {
		return nil
	}
	var errs []error
	for _, name := range slices.SortedFunc(maps.Keys(snapshot.Pods), compareNames) {
		pod := snapshot.Pods[name]
		node, ok := snapshot.Nodes[pod.Node]
		if pod.HostNetwork || !ok {
			continue
		}
		for _, addr := range pod.Addrs {
			if why := foreign(node, addr); why != "" {
				errs = append(errs, fmt.Errorf("pod %s has address %s, %s: a bridge cannot carry it; use --network routed", name, addr, why))
			}
		}
	}
	return errors.Join(errs...)
}

func compareNames(a, b cluster.Name) int { return strings.Compare(a.String(), b.String()) }

// foreign is why a pod of a bridge cannot have the address; empty: it can.
func foreign(node *cluster.Node, addr netip.Addr) string {
	for _, cidr := range node.PodCIDRs {
		switch {
		case gateway(cidr).Addr() == addr:
			return "which is the bridge's own on node " + node.Name
		case cidr.Contains(addr):
			return ""
		}
	}
	return fmt.Sprintf("outside the pod CIDRs of node %s", node.Name)
}
