package plan

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Packet is the first packet of a connection, after destination translation.
type Packet struct {
	From, To netip.Addr
	Protocol traffic.Protocol
	Port     uint16 // the destination port; of ICMP its type and code (traffic.ICMPPort), of others without ports zero
	// FromNode: the packet was sent by the node itself, not by a pod. ToNode: it
	// goes to the node itself, whose address may lie among those of its pods, as
	// a bridge's does.
	FromNode, ToNode bool
	// Asked is where the packet was to go before translation; the zero value: to To
	// and Port.
	Asked netip.AddrPort
	// In and Out are the devices that it comes and goes by; empty: one that has no
	// door of its own.
	In, Out string
}

// Trace judges a packet by the tables as the kernel does: whether an end is held,
// the policies on hosts, the sender's egress class, then the receiver's ingress
// class. What talks to itself is not filtered, nor is what the node sends to its
// own pods.
func (p *Plan) Trace(packet Packet) traffic.Verdict {
	if !packet.FromNode && p.holds(packet) {
		return traffic.Deny
	}
	if packet.From == packet.To {
		return traffic.Allow
	}
	if !p.traceHosts(packet, p.judge) {
		return traffic.Deny
	}
	if packet.FromNode {
		return traffic.Allow
	}
	egress := p.judge(p.Local[packet.From].Egress, packet.To, packet)
	return egress.And(p.judge(p.Local[packet.To].Ingress, packet.From, packet))
}

func (p *Plan) judge(id ClassID, peer netip.Addr, packet Packet) traffic.Verdict {
	class, ok := p.Classes[id]
	switch {
	case id == 0:
		return traffic.Allow
	case !ok:
		return traffic.Deny
	case class.Audit:
		return traffic.Allow
	}
	group := p.PeerOf(peer)
	return class.Lookup(group, p.Wider[group], packet.Protocol, packet.Port)
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

// Lookup is the class's verdict on a peer group and the group that it is part
// of, zero if there is none. The most telling row wins: the peer's ports, the
// peer, the wider group's ports, the wider group, any peer's ports, any peer,
// the default.
func (c *Class) Lookup(peer, wider PeerID, protocol traffic.Protocol, port uint16) traffic.Verdict {
	best, verdict := noRow, c.Default
	for row, v := range c.Rows {
		if rank := row.rank(peer, wider, protocol, port); rank < best {
			best, verdict = rank, v
		}
	}
	return verdict
}

// noRow is behind every rank.
const noRow = 6

// rank is the row's place in the order of Lookup, noRow if it does not match.
func (r Row) rank(peer, wider PeerID, protocol traffic.Protocol, port uint16) int {
	var rank int
	switch {
	case r.AnyPeer:
		rank = 4
	case r.Peer == peer:
		rank = 0
	case r.Peer == wider:
		rank = 2
	default:
		return noRow
	}
	switch {
	case r.Protocol == traffic.AnyProtocol:
		return rank + 1
	case r.Protocol == protocol && r.From <= port && port <= r.To:
		return rank
	}
	return noRow
}
