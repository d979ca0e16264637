package plan

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Packet is the first packet of a connection, after destination translation.
type Packet struct {
	From, To netip.Addr
	Protocol traffic.Protocol
	Port     uint16 // the destination port; zero for a protocol without ports
	// FromNode: the packet was sent by the node itself, not by a pod.
	FromNode bool
}

// Trace judges a packet by the tables as the kernel does: the sender's egress
// class, then the receiver's ingress class. A pod that talks to itself is not
// filtered, nor is what the node sends to its own pods.
func (p *Plan) Trace(packet Packet) traffic.Verdict {
	if packet.FromNode || packet.From == packet.To {
		return traffic.Allow
	}
	if !p.allows(p.Local[packet.From].Egress, packet.To, packet) {
		return traffic.Deny
	}
	if !p.allows(p.Local[packet.To].Ingress, packet.From, packet) {
		return traffic.Deny
	}
	return traffic.Allow
}

func (p *Plan) allows(id ClassID, peer netip.Addr, packet Packet) bool {
	class, ok := p.Classes[id]
	if !ok {
		return id == 0
	}
	return class.Lookup(p.PeerOf(peer), packet.Protocol, packet.Port) == traffic.Allow
}

// PeerOf is the group of an address.
func (p *Plan) PeerOf(addr netip.Addr) PeerID {
	if id, ok := p.Addrs[addr]; ok {
		return id
	}
	for r, id := range p.Ranges {
		if r.Contains(addr) {
			return id
		}
	}
	return 0
}

// Lookup is the class's verdict, from the most to the least telling row: the
// peer's ports, the peer, any peer's ports, any peer, the default.
func (c *Class) Lookup(peer PeerID, protocol traffic.Protocol, port uint16) traffic.Verdict {
	type rank struct{ anyPeer, anyProtocol bool }
	found := map[rank]traffic.Verdict{}
	for row, verdict := range c.Rows {
		if row.matches(peer, protocol, port) {
			found[rank{row.AnyPeer, row.Protocol == traffic.AnyProtocol}] = verdict
		}
	}
	for _, r := range []rank{{false, false}, {false, true}, {true, false}, {true, true}} {
		if verdict, ok := found[r]; ok {
			return verdict
		}
	}
	return c.Default
}
