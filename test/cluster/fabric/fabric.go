package fabric

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

const (
	switchName = "fabric"
	bridgeName = "cni0"
	podLink    = "eth0"
	nodeLink   = "eth0"
)

// A Fabric is the switch between the nodes.
type Fabric struct {
	plan Plan
	view ns.View
	link *netlink.Handle
	port *netlink.Bridge
}

// New makes the switch in the network namespace of a view.
func New(view ns.View, plan Plan) (*Fabric, error) {
	h, err := handle(view)
	if err != nil {
		return nil, err
	}
	f := &Fabric{plan: plan, view: view, link: h}
	if err := f.build(); err != nil {
		return nil, fmt.Errorf("build network between nodes: %w", err)
	}
	return f, nil
}

func (f *Fabric) build() error {
	// The switch only forwards: what crosses it is judged on the nodes.
	if err := f.view.Do(func() error { return setAll(append(routerSettings(), bridgeSettings("0")...)) }); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = switchName
	quiet := false
	f.port = &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &quiet}
	if err := f.link.LinkAdd(f.port); err != nil {
		return fmt.Errorf("add bridge %s: %w", switchName, err)
	}
	return up(f.link, switchName, f.plan.Gateway())
}

// AddNode connects a node, in the network namespace of a view that the caller
// goes on to own.
func (f *Fabric) AddNode(index int, view ns.View) (*Node, error) {
	n, err := newNode(index, f.plan, view)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", NodeName(index), err)
	}
	if err := f.connect(n); err != nil {
		return nil, fmt.Errorf("connect %s: %w", n.Name, err)
	}
	return n, nil
}

func (f *Fabric) connect(n *Node) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = n.Name
	attrs.MasterIndex = f.port.Index
	cable := &netlink.Veth{LinkAttrs: attrs, PeerName: nodeLink, PeerNamespace: netlink.NsFd(n.view.Net.FD())}
	if err := f.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("add link: %w", err)
	}
	if err := f.link.LinkSetUp(cable); err != nil {
		return fmt.Errorf("bring link up: %w", err)
	}
	if err := n.configure(f.plan); err != nil {
		return err
	}
	// The switch reaches pods as a machine outside the cluster would.
	return routes(f.link, f.plan.PodRanges(n.Index), f.plan.Node(n.Index))
}

// Introduce tells two nodes the way to each other's pods.
func (f *Fabric) Introduce(a, b *Node) error {
	if err := routes(a.link, f.plan.PodRanges(b.Index), f.plan.Node(b.Index)); err != nil {
		return err
	}
	return routes(b.link, f.plan.PodRanges(a.Index), f.plan.Node(a.Index))
}

func handle(view ns.View) (*netlink.Handle, error) {
	if view.Net == nil {
		return netlink.NewHandle()
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(view.Net.FD()))
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return h, nil
}

// up gives a link addresses and brings it and loopback up.
func up(h *netlink.Handle, name string, addrs []netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	for _, a := range addrs {
		if err := h.AddrAdd(link, address(a)); err != nil {
			return fmt.Errorf("add address %s to %s: %w", a, name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}

// address skips duplicate detection, which would keep an IPv6 address unusable
// for a second.
func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// routes leads each range to the gateway of the same position.
func routes(h *netlink.Handle, to, via []netip.Prefix) error {
	for i := range to {
		route := &netlink.Route{Dst: ipNet(to[i]), Gw: via[i].Addr().AsSlice()}
		if err := h.RouteReplace(route); err != nil {
			return fmt.Errorf("add route to %s: %w", to[i], err)
		}
	}
	return nil
}

// A setting is a file below /proc/sys, with its value.
type setting struct{ name, value string }

// routerSettings are those of every namespace that forwards packets. Duplicate
// address detection is off since it would delay IPv6 by a second per link.
func routerSettings() []setting {
	return []setting{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv6/conf/all/forwarding", "1"},
		{"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/default/dad_transmits", "0"},
	}
}

func bridgeSettings(value string) []setting {
	return []setting{
		{"net/bridge/bridge-nf-call-iptables", value},
		{"net/bridge/bridge-nf-call-ip6tables", value},
	}
}

// setAll writes settings in the network namespace of the calling thread.
func setAll(settings []setting) error {
	for _, s := range settings {
		name := filepath.Join("/proc/sys", s.name)
		err := os.WriteFile(name, []byte(s.value), 0o644)
		if os.IsNotExist(err) && strings.HasPrefix(s.name, "net/bridge/") && s.value == "0" {
			continue // no bridge filtering in this kernel: nothing to turn off
		}
		if err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
	}
	return nil
}
