package plan

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// passage is a packet on its way through the node, with what of it the doors ask.
type passage struct {
	Packet
	doors          map[Door]Host
	judge          func(ClassID, netip.Addr, Packet) traffic.Verdict
	fromPod, toPod bool
}

func (w *passage) allows(id ClassID, peer netip.Addr, packet Packet) bool {
	return w.judge(id, peer, packet) == traffic.Allow
}

// traceHosts judges a packet by the policies on hosts, as the kernel does: before
// translation, then where the packet is taken in, passed on or sent.
func (p *Plan) traceHosts(packet Packet, judge func(ClassID, netip.Addr, Packet) traffic.Verdict) bool {
	if len(p.Hosts) == 0 || packet.FromNode && packet.ToNode || packet.FromNode && p.keeps(packet) {
		return true
	}
	w := passage{Packet: packet, doors: p.Hosts, judge: judge}
	w.fromPod, w.toPod = !packet.FromNode && p.owns(packet.From), !packet.ToNode && p.owns(packet.To)
	if w.toPod && (w.fromPod || packet.FromNode) {
		return true
	}
	granted, allowed := w.early()
	if granted || !allowed {
		return allowed
	}
	return w.late()
}

// keeps tells whether a packet is on the way that stays open whatever policies
// say.
func (p *Plan) keeps(packet Packet) bool {
	if packet.Protocol != traffic.TCP {
		return false
	}
	_, kept := p.Keep[netip.AddrPortFrom(packet.To, packet.Port)]
	_, asked := p.Keep[packet.Asked]
	return kept || asked
}

// owns tells whether an address is one of the node's own pods'.
func (p *Plan) owns(addr netip.Addr) bool {
	for prefix := range p.Own {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// early is what policies before translation say.
func (w *passage) early() (granted, allowed bool) {
	asked := w.Packet
	if asked.Asked.IsValid() {
		asked.To, asked.Port = asked.Asked.Addr(), asked.Asked.Port()
	}
	var refuse, grant ClassID
	peer := asked.From
	switch {
	case w.FromNode:
		h := w.find(w.Out, w.From, false, true)
		refuse, grant, peer = h.RefuseOut, h.GrantOut, asked.To
	case !w.fromPod:
		h := w.find(w.In, asked.To, false, true)
		refuse, grant = h.RefuseIn, h.GrantIn
	}
	if !w.allows(refuse, peer, asked) {
		return false, false
	}
	return grant != 0 && w.allows(grant, peer, asked), true
}

// late is what policies behind translation say.
func (w *passage) late() bool {
	switch {
	case w.ToNode:
		return w.allows(w.find(w.In, w.To, w.fromPod, false).Input, w.From, w.Packet)
	case w.FromNode:
		return w.allows(w.find(w.Out, w.From, false, false).Output, w.To, w.Packet)
	}
	if !w.fromPod && !w.allows(w.find(w.In, netip.Addr{}, false, true).Enter, w.From, w.Packet) {
		return false
	}
	return w.toPod || w.allows(w.find(w.Out, netip.Addr{}, false, true).Leave, w.To, w.Packet)
}

// find is the host of the first door that fits. anywhere: a door without a device
// is also that of addresses which it does not name.
func (w *passage) find(device string, addr netip.Addr, fromPod, anywhere bool) Host {
	for _, d := range []Door{{device, addr}, {device, netip.Addr{}}} {
		if h, ok := w.doors[d]; ok && device != "" && !fromPod {
			return h
		}
	}
	for _, d := range []Door{{"", addr}, {"", netip.Addr{}}} {
		if h, ok := w.doors[d]; ok && !fromPod && (anywhere || d.Addr.IsValid()) {
			return h
		}
	}
	if h, ok := w.doors[Door{AllDevices, addr}]; ok {
		return h
	}
	return w.doors[Door{AllDevices, netip.Addr{}}]
}
