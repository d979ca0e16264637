package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The two ends of every line have the same addresses: nobody but the two sees
// them, so they need not differ from line to line.
var (
	routerMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}
	hostMAC   = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x02}

	// The next hops have an entry in the neighbour table and belong to no device:
	// all that is needed of them is where to send the frame.
	routerHops = hops{netip.MustParseAddr("169.254.254.1"), netip.MustParseAddr("fe80::1")}
	hostHops   = hops{netip.MustParseAddr("169.254.254.2"), netip.MustParseAddr("fe80::2")}

	everything4 = netip.MustParsePrefix("0.0.0.0/0")
	everything6 = netip.MustParsePrefix("::/0")
)

// hostDevice is the device's name at a line's host end.
const hostDevice = "eth0"

// kernelTimeout is far more than the second that the kernel takes at most.
const kernelTimeout = 20 * time.Second

// hops is the next hop of each family.
type hops struct{ v4, v6 netip.Addr }

func (h hops) of(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return h.v4
	}
	return h.v6
}

// line is one end of a veth pair, as a way for packets to the other end.
type line struct {
	from  *netlink.Handle
	index int
	hops  hops
	table int // the routing table for what goes there; zero: the main one
}

// draw connects a host to a router and returns both ends. alias is for people
// who list the router's devices.
func (n *Network) draw(r *host, device, alias string, h *host) (down, up line, err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Alias, attrs.HardwareAddr = device, alias, routerMAC
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: hostDevice, PeerHardwareAddr: hostMAC,
		PeerNamespace: netlink.NsFd(h.space.FD()),
	}
	if err := r.links.LinkAdd(veth); err != nil {
		return down, up, fmt.Errorf("create veth pair %s: %w", device, err)
	}
	if down, err = n.end(r, device, hostHops, hostMAC); err != nil {
		return down, up, err
	}
	if up, err = n.end(h, hostDevice, routerHops, routerMAC); err != nil {
		return down, up, err
	}
	return down, up, errors.Join(awaitCarrier(r.links, down.index), awaitCarrier(h.links, up.index))
}

// awaitCarrier waits until the kernel has noticed that both ends of a device are
// up. Until then it drops what is sent there (linkwatch, noop qdisc).
func awaitCarrier(h *netlink.Handle, index int) error {
	return await(func() (bool, error) {
		link, err := h.LinkByIndex(index)
		if err != nil {
			return false, fmt.Errorf("find device %d: %w", index, err)
		}
		return link.Attrs().OperState == netlink.OperUp, nil
	}, "device %d has no carrier", index)
}

// await waits for what the kernel does in its own time. The rest is what to say
// if it does not.
func await(done func() (bool, error), format string, args ...any) error {
	deadline := time.Now().Add(kernelTimeout)
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf(format+" after %s", append(args, kernelTimeout)...)
		}
		time.Sleep(time.Millisecond)
	}
}

// end starts a line's device and names the other end.
func (n *Network) end(h *host, device string, other hops, mac net.HardwareAddr) (line, error) {
	link, err := h.links.LinkByName(device)
	if err != nil {
		return line{}, fmt.Errorf("find device %s: %w", device, err)
	}
	if err := h.links.LinkSetUp(link); err != nil {
		return line{}, fmt.Errorf("start device %s: %w", device, err)
	}
	l := line{from: h.links, index: link.Attrs().Index, hops: other}
	for _, hop := range n.usable([]netip.Addr{other.v4, other.v6}) {
		if err := h.links.NeighSet(&netlink.Neigh{
			LinkIndex: l.index, IP: hop.AsSlice(), HardwareAddr: mac, State: netlink.NUD_PERMANENT,
		}); err != nil {
			return line{}, fmt.Errorf("set neighbour %s on %s: %w", hop, device, err)
		}
	}
	return l, nil
}

// everything are the prefixes of all addresses.
func (n *Network) everything() []netip.Prefix {
	if n.ipv6 {
		return []netip.Prefix{everything4, everything6}
	}
	return []netip.Prefix{everything4}
}

func (l line) route(to ...netip.Prefix) error {
	for _, prefix := range to {
		if err := l.from.RouteReplace(l.way(prefix)); err != nil {
			return fmt.Errorf("add route to %s: %w", prefix, err)
		}
	}
	return nil
}

func (l line) unroute(to ...netip.Prefix) error {
	for _, prefix := range to {
		if err := l.from.RouteDel(l.way(prefix)); err != nil {
			return fmt.Errorf("remove route to %s: %w", prefix, err)
		}
	}
	return nil
}

func (l line) way(to netip.Prefix) *netlink.Route {
	route := &netlink.Route{
		LinkIndex: l.index, Dst: ipNet(to), Gw: l.hops.of(to.Addr()).AsSlice(), Table: l.table,
	}
	if to.Addr().Is4() {
		route.Flags = unix.RTNH_F_ONLINK // the next hop is on no subnet
	}
	return route
}

// take gives addresses to the device at this end.
func (l line) take(addrs ...netip.Prefix) error {
	return assign(l.from, l.index, addrs...)
}

func assign(h *netlink.Handle, index int, addrs ...netip.Prefix) error {
	for _, a := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		link := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	for _, a := range addrs {
		if err := awaitLocal(h, a.Addr()); err != nil {
			return err
		}
	}
	return nil
}

// awaitLocal waits until the kernel takes packets to an address for its own. The
// route that says so comes at once for IPv4, and from a work queue for IPv6, also
// without duplicate address detection (addrconf_dad_work). Before it, packets are
// taken for somebody else's and dropped.
func awaitLocal(h *netlink.Handle, addr netip.Addr) error {
	return await(func() (bool, error) {
		routes, err := h.RouteGet(addr.AsSlice())
		if err != nil {
			return false, fmt.Errorf("find route to %s: %w", addr, err)
		}
		return len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL, nil
	}, "address %s is not in use", addr)
}

// hosts are the addresses as prefixes of one address each.
func hosts(addrs []netip.Addr) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(addrs))
	for i, a := range addrs {
		prefixes[i] = netip.PrefixFrom(a, a.BitLen())
	}
	return prefixes
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
