package fabric

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// linkAddress is that of the node's end of every routed pod link. It need not be
// unique, since each link has one other end, and pods know it beforehand.
var (
	linkAddress = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	linkLocal6  = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee") // EUI-64 of linkAddress
	linkLocal4  = netip.MustParseAddr("169.254.1.1")
)

// A Node is one machine on the fabric, and the pod network on it.
type Node struct {
	Name  string
	Index int
	view  ns.View
	link  *netlink.Handle
	pods  PodNetwork

	mu        sync.Mutex
	ranges    []netip.Prefix
	used      map[int]bool // position in the ranges
	next      int          // where to look for a free position
	reuse     bool
	bridge    netlink.Link // nil unless Bridged
	Addresses []netip.Addr // of the node itself; the primary first
}

// A Port is a pod's place on its node's network.
type Port struct {
	Addresses []netip.Addr // one per family, the primary first
	HostLink  string       // the node's end of the pod's veth pair
	position  int
}

// ErrFull is the error for a pod beyond the node's range.
var ErrFull = errors.New("no free pod address on the node")

func newNode(index int, plan Plan, view ns.View) (*Node, error) {
	h, err := handle(view)
	if err != nil {
		return nil, err
	}
	n := &Node{Name: NodeName(index), Index: index, view: view, link: h, pods: plan.Pods,
		ranges: plan.PodRanges(index), used: map[int]bool{}, reuse: plan.ReuseAddresses}
	for _, a := range plan.Node(index) {
		n.Addresses = append(n.Addresses, a.Addr())
	}
	return n, nil
}

func (n *Node) configure(plan Plan) error {
	settings := routerSettings()
	if n.pods == Bridged {
		settings = append(settings, bridgeSettings("1")...)
	}
	if err := n.view.Do(func() error { return setAll(settings) }); err != nil {
		return err
	}
	if err := up(n.link, nodeLink, plan.Node(n.Index)); err != nil {
		return err
	}
	if err := routes(n.link, plan.each(everywhere), plan.Gateway()); err != nil {
		return err
	}
	if n.pods == Bridged {
		return n.addBridge()
	}
	return nil
}

func everywhere(r ranges) netip.Prefix {
	if r.nodes.Addr().Is6() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

func (n *Node) addBridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	if err := n.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("add bridge %s: %w", bridgeName, err)
	}
	if err := up(n.link, bridgeName, n.gateways()); err != nil {
		return err
	}
	bridge, err := n.link.LinkByName(bridgeName)
	n.bridge = bridge
	return err
}

// gateways are the bridge's addresses: the first of each range.
func (n *Node) gateways() []netip.Prefix {
	var all []netip.Prefix
	for _, r := range n.ranges {
		all = append(all, host(r, 1))
	}
	return all
}

// Attach connects a pod's network namespace. The name tells the pod's link from
// others on the node; whoever had a link of that name loses it.
func (n *Node) Attach(pod ns.View, name string) (*Port, error) {
	position, err := n.take()
	if err != nil {
		return nil, err
	}
	port := &Port{HostLink: hostLink(name), position: position}
	for _, r := range n.ranges {
		port.Addresses = append(port.Addresses, host(r, position).Addr())
	}
	if err := n.plug(pod, port); err != nil {
		n.Detach(port)
		return nil, fmt.Errorf("connect pod %s: %w", name, err)
	}
	return port, nil
}

// Detach takes a pod off the network at once and frees its addresses.
func (n *Node) Detach(port *Port) {
	if link, err := n.link.LinkByName(port.HostLink); err == nil {
		// Gone already is as good.
		_ = n.link.LinkDel(link)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.used, port.position)
}

// take finds a free position; 0 and 1 are the range's own and the gateway's.
func (n *Node) take() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range PodsPerNode {
		position := 2 + (n.next+i)%PodsPerNode
		if n.used[position] {
			continue
		}
		n.used[position] = true
		if !n.reuse {
			n.next = position - 1
		}
		return position, nil
	}
	return 0, ErrFull
}

func hostLink(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "veth" + hex.EncodeToString(sum[:])[:11]
}

func (n *Node) plug(pod ns.View, port *Port) error {
	if err := pod.Do(func() error { return setAll(podSettings) }); err != nil {
		return err
	}
	if old, err := n.link.LinkByName(port.HostLink); err == nil {
		_ = n.link.LinkDel(old)
	}
	if err := n.addCable(pod, port); err != nil {
		return err
	}
	inside, err := handle(pod)
	if err != nil {
		return err
	}
	defer inside.Close()
	if n.pods == Bridged {
		return n.plugBridged(inside, port)
	}
	return n.plugRouted(inside, port)
}

// podSettings let any user in a pod use low ports and ping, as runtimes do.
var podSettings = []setting{
	{"net/ipv4/ip_unprivileged_port_start", "0"},
	{"net/ipv4/ping_group_range", "0 2147483647"},
	{"net/ipv6/conf/default/accept_dad", "0"},
	{"net/ipv6/conf/default/dad_transmits", "0"},
	{"net/ipv6/conf/default/accept_ra", "0"},
}

func (n *Node) addCable(pod ns.View, port *Port) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port.HostLink
	if n.bridge == nil {
		attrs.HardwareAddr = linkAddress
	} else {
		attrs.MasterIndex = n.bridge.Attrs().Index
	}
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: podLink, PeerNamespace: netlink.NsFd(pod.Net.FD())}
	if err := n.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("add link: %w", err)
	}
	if n.bridge != nil {
		// A pod that reaches itself through a service comes back to its own port.
		if err := n.link.LinkSetHairpin(cable, true); err != nil {
			return fmt.Errorf("allow hairpin: %w", err)
		}
	}
	if err := n.link.LinkSetUp(cable); err != nil {
		return fmt.Errorf("bring link up: %w", err)
	}
	return nil
}

func (n *Node) plugBridged(inside *netlink.Handle, port *Port) error {
	var addrs []netip.Prefix
	for i, a := range port.Addresses {
		addrs = append(addrs, netip.PrefixFrom(a, n.ranges[i].Bits()))
	}
	if err := up(inside, podLink, addrs); err != nil {
		return err
	}
	var all []netip.Prefix
	for _, a := range port.Addresses {
		all = append(all, zero(a))
	}
	return routes(inside, all, n.gateways())
}

func zero(a netip.Addr) netip.Prefix {
	p, _ := a.Prefix(0)
	return p
}

// plugRouted gives the pod a single neighbour, the node, whose link address it
// is told, and the node a route to each of the pod's addresses.
func (n *Node) plugRouted(inside *netlink.Handle, port *Port) error {
	var addrs []netip.Prefix
	for _, a := range port.Addresses {
		addrs = append(addrs, single(a))
	}
	if err := up(inside, podLink, addrs); err != nil {
		return err
	}
	link, err := inside.LinkByName(podLink)
	if err != nil {
		return fmt.Errorf("find pod link: %w", err)
	}
	outside, err := n.link.LinkByName(port.HostLink)
	if err != nil {
		return fmt.Errorf("find node link: %w", err)
	}
	for _, a := range port.Addresses {
		if err := leadOut(inside, link, a); err != nil {
			return err
		}
		toPod := &netlink.Route{LinkIndex: outside.Attrs().Index, Dst: ipNet(single(a)), Scope: netlink.SCOPE_LINK}
		if err := n.link.RouteReplace(toPod); err != nil {
			return fmt.Errorf("add route to pod address %s: %w", a, err)
		}
	}
	return nil
}

func leadOut(h *netlink.Handle, link netlink.Link, own netip.Addr) error {
	gateway := linkLocal4
	if own.Is6() {
		gateway = linkLocal6
	}
	index := link.Attrs().Index
	neighbour := &netlink.Neigh{LinkIndex: index, IP: gateway.AsSlice(), HardwareAddr: linkAddress, State: netlink.NUD_PERMANENT}
	if err := h.NeighSet(neighbour); err != nil {
		return fmt.Errorf("name the pod's neighbour: %w", err)
	}
	out := &netlink.Route{LinkIndex: index, Dst: ipNet(zero(own)), Gw: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := h.RouteReplace(out); err != nil {
		return fmt.Errorf("add the pod's default route: %w", err)
	}
	return nil
}

// PodRanges are the node's pod ranges as text, the primary first.
func (n *Node) PodRanges() []string {
	all := make([]string, len(n.ranges))
	for i, r := range n.ranges {
		all[i] = r.String()
	}
	return all
}
