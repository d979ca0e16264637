package conntrack

import (
	"fmt"
	"net"
	"net/netip"

	rtnetlink "github.com/vishvananda/netlink"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// place is where the connections are: what the node has of the addresses and
// devices that a plan asks for.
type place struct {
	links   *rtnetlink.Handle
	own     map[netip.Addr]bool
	devices map[netip.Addr]string // that lead to an address; nil: the plan asks for none
}

func (t *Table) place(p *plan.Plan) *place {
	found := &place{links: t.links, own: t.own}
	for d := range p.Hosts {
		if d.Device != "" && d.Device != plan.AllDevices {
			found.devices = map[netip.Addr]string{}
		}
	}
	return found
}

// packet is a connection's first one, by the devices that its ends are reached by
// now.
func (p *place) packet(c Conn) plan.Packet {
	packet := plan.Packet{
		From: c.From, To: c.To, Protocol: c.Protocol, Port: c.Port, Asked: c.Asked,
		FromNode: p.own[c.From], ToNode: p.own[c.To],
	}
	if !packet.FromNode {
		packet.In = p.device(c.From)
	}
	if !packet.ToNode {
		packet.Out = p.device(c.To)
	}
	return packet
}

// device is the one that leads to an address; empty if none does.
func (p *place) device(addr netip.Addr) string {
	if p.devices == nil {
		return ""
	}
	name, known := p.devices[addr]
	if known {
		return name
	}
	if routes, err := p.links.RouteGet(net.IP(addr.AsSlice())); err == nil && len(routes) > 0 {
		if link, err := p.links.LinkByIndex(routes[0].LinkIndex); err == nil {
			name = link.Attrs().Name
		}
	}
	p.devices[addr] = name
	return name
}

// nodeAddrs are the addresses that the node itself sends from.
func (t *Table) nodeAddrs() (map[netip.Addr]bool, error) {
	list, err := t.links.AddrList(nil, rtnetlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the node's addresses: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			own[addr.Unmap()] = true
		}
	}
	return own, nil
}
