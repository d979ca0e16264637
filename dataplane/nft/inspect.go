package nft

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane"
)

// Proxy is where connections go that are inspected: sockets of this network
// namespace which listen with IP_TRANSPARENT on 127.0.0.1 and ::1, at these ports.
// One whose port is zero does not exist, and its connections are denied.
type Proxy struct {
	HTTP uint16 // TCP
	DNS  uint16 // TCP and UDP
	// Bypass lets queries go on to the resolver while nobody listens for them, so
	// that a pod can look up the names that it may reach already.
	Bypass bool
	// Marks are two bits of the packet mark. A rule of the routing policy sends
	// packets with Divert to the node itself; with Own the proxy marks the
	// sockets that it opens with a pod's address.
	Divert, Own uint32
}

// toInspect takes connections with a label to the proxy.
func toInspect() []text {
	return []text{
		{"HTTP to be inspected", exprs(hasLabel(dataplane.LabelHTTP), jumpTo(chainInspect))},
		{"DNS to be inspected", exprs(hasLabel(dataplane.LabelDNS), jumpTo(chainInspect))},
	}
}

// fromNetwork is what the proxy's connections need where packets come in: those
// to the proxy, and answers to the ones that it opened with a pod's address.
func (p Proxy) fromNetwork() []text {
	rules := toInspect()
	if p.Own != 0 {
		rules = append(rules, text{"an answer to the proxy", exprs(hasLabel(dataplane.LabelProxy), setMark(p.Divert), accept())})
	}
	return rules
}

// fromNode is what the proxy sends: to those who believe to talk to somebody
// else, and in the name of pods.
func (p Proxy) fromNode() []text {
	if p.Own == 0 {
		return nil
	}
	return []text{
		{"the proxy, in a pod's name", exprs(hasMark(p.Own), setLabel(dataplane.LabelProxy), accept())},
		{"the proxy's answer", exprs(hasLabel(dataplane.LabelHTTP), accept())},
		{"the proxy's answer", exprs(hasLabel(dataplane.LabelDNS), accept())},
	}
}

// addInspect hands a packet to the proxy's socket. Where there is none, the
// tproxy expression does not match, and the packet is denied.
func (r *ruleset) addInspect(p Proxy) error {
	var rules []text
	for _, f := range families {
		for _, to := range []struct {
			label    int
			protocol byte
			port     uint16
		}{
			{dataplane.LabelHTTP, unix.IPPROTO_TCP, p.HTTP},
			{dataplane.LabelDNS, unix.IPPROTO_UDP, p.DNS},
			{dataplane.LabelDNS, unix.IPPROTO_TCP, p.DNS},
		} {
			if to.port != 0 {
				rules = append(rules, text{"", exprs(hasLabel(to.label), isOriginal(), isFamily(f), isProtocol(to.protocol), p.take(f, to.port), accept())})
			}
		}
	}
	if p.DNS != 0 && p.Bypass {
		rules = append(rules, text{"nobody listens: to the resolver itself, and back", exprs(hasLabel(dataplane.LabelDNS), accept())})
	}
	rules = append(rules, text{"", jumpTo(chainDeny)})
	return r.addChain(chainInspect, "connections whose content is judged", hook{}, rules...)
}

// take gives a packet to the socket at a port, and marks it for the routing.
func (p Proxy) take(f family, port uint16) []expr.Any {
	return exprs([]expr.Any{
		&expr.Immediate{Register: reg1, Data: f.loopback.AsSlice()},
		&expr.Immediate{Register: unix.NFT_REG_2, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.TProxy{Family: f.protocol, TableFamily: unix.NFPROTO_INET, RegAddr: reg1, RegPort: unix.NFT_REG_2},
	}, setMark(p.Divert))
}

// setMark sets bits of the packet's mark and leaves the others.
func setMark(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: hostOrder(^bits), Xor: hostOrder(bits)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1, SourceRegister: true},
	}
}

func hasMark(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: hostOrder(bits), Xor: hostOrder(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: hostOrder(0)},
	}
}
