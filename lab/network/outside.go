package network

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// outsideAddrs are the outside host's addresses of first choice, out of the
// blocks for documentation (RFC 5737, RFC 3849).
var outsideAddrs = []netip.Addr{
	netip.MustParseAddr("192.0.2.1"),
	netip.MustParseAddr("2001:db8::1"),
}

// OutsideAddrs are the addresses that the outside host uses unless it is told to
// use another.
func (n *Network) OutsideAddrs() []netip.Addr { return n.usable(outsideAddrs) }

// addOutside makes the outside host. All addresses are local to it, by a route
// in the local table, but for those of the cluster, whose routes are longer.
func (n *Network) addOutside() error {
	var err error
	if n.outside, err = newHost(); err != nil {
		return err
	}
	settings := append(n.settings(endpoint),
		space.Sysctl{Path: "ipv4/ip_nonlocal_bind", Value: "1"})
	if n.ipv6 { // an address that only a route makes local may still not be bound
		settings = append(settings, space.Sysctl{Path: "ipv6/ip_nonlocal_bind", Value: "1"})
	}
	if err := n.outside.settle(settings...); err != nil {
		return err
	}
	down, up, err := n.draw(n.fabric, "outside", "outside", n.outside)
	if err != nil {
		return fmt.Errorf("connect outside host: %w", err)
	}
	n.uplink = up
	n.uplink.table = unix.RT_TABLE_LOCAL
	if err := n.uplink.take(hosts(n.OutsideAddrs())...); err != nil {
		return err
	}
	if err := n.keepGateway(); err != nil {
		return err
	}
	if err := n.ownEverything(); err != nil {
		return err
	}
	if err := n.addDrain(); err != nil {
		return err
	}
	return down.route(n.everything()...)
}

// addDrain prepares Drain.
func (n *Network) addDrain() error {
	lo, err := n.fabric.links.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find device lo: %w", err)
	}
	prefixes := hosts([]netip.Addr{drainAddr})
	if err := assign(n.fabric.links, lo.Attrs().Index, prefixes...); err != nil {
		return err
	}
	return n.uplink.route(prefixes...)
}

// keepGateway keeps the next hop from becoming local with everything else: the
// kernel wants a gateway's address to be somebody else's.
func (n *Network) keepGateway() error {
	route := &netlink.Route{
		LinkIndex: n.uplink.index, Dst: ipNet(hosts([]netip.Addr{routerHops.v4})[0]),
		Scope: netlink.SCOPE_LINK, Table: n.uplink.table,
	}
	if err := n.outside.links.RouteReplace(route); err != nil {
		return fmt.Errorf("add route to the gateway: %w", err)
	}
	return nil
}

func (n *Network) ownEverything() error {
	lo, err := n.outside.links.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find device lo: %w", err)
	}
	for _, prefix := range n.everything() {
		route := &netlink.Route{
			LinkIndex: lo.Attrs().Index, Dst: ipNet(prefix), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL,
		}
		if prefix.Addr().Is4() {
			route.Scope = netlink.SCOPE_HOST
		}
		if err := n.outside.links.RouteReplace(route); err != nil {
			return fmt.Errorf("make %s local to the outside host: %w", prefix, err)
		}
	}
	return nil
}

// publish makes addresses behind a line of the fabric reachable from everywhere.
func (n *Network) publish(behind line, addrs []netip.Addr) error {
	prefixes := hosts(addrs)
	if err := behind.route(prefixes...); err != nil {
		return err
	}
	return n.uplink.route(prefixes...)
}

func (n *Network) withdraw(behind line, addrs []netip.Addr) error {
	prefixes := hosts(addrs)
	if err := behind.unroute(prefixes...); err != nil {
		return err
	}
	return n.uplink.unroute(prefixes...)
}

// Hide makes addresses that exist only inside nodes, as services' do,
// unreachable from the outside host, which would take them for its own.
func (n *Network) Hide(addrs ...netip.Addr) error {
	for _, prefix := range hosts(n.usable(addrs)) {
		if err := n.outside.links.RouteReplace(hidden(prefix)); err != nil {
			return fmt.Errorf("hide %s: %w", prefix, err)
		}
	}
	return nil
}

// Unhide takes back Hide.
func (n *Network) Unhide(addrs ...netip.Addr) error {
	for _, prefix := range hosts(n.usable(addrs)) {
		if err := n.outside.links.RouteDel(hidden(prefix)); err != nil {
			return fmt.Errorf("unhide %s: %w", prefix, err)
		}
	}
	return nil
}

func hidden(prefix netip.Prefix) *netlink.Route {
	return &netlink.Route{Dst: ipNet(prefix), Type: unix.RTN_UNREACHABLE, Table: unix.RT_TABLE_LOCAL}
}
