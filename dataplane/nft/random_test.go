package nft

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// chooser makes random plans over a small world, so that everything that can
// meet does.
type chooser struct {
	*rand.Rand
	addrs  []netip.Addr // all addresses
	locals []netip.Addr // those of local pods
	from4  netip.Addr   // where ranges begin
	from6  netip.Addr
	audits bool // some classes are audited only
}

var (
	testProtocols = []traffic.Protocol{traffic.TCP, traffic.UDP, traffic.SCTP, traffic.ICMP, traffic.ICMPv6}
	testTypes     = []uint16{0, 0x0800, 0x0801, 0x08ff, 0x8000, 0x80ff, 0xffff}
	testPorts     = []uint16{1, 52, 53, 80, 81, 443, 8080, 40000, 65535}
)

func one[T any](c *chooser, from []T) T { return from[c.IntN(len(from))] }

func (c *chooser) group() plan.PeerID {
	// The upper half differs too: it is a number in host byte order.
	return plan.PeerID(1+c.IntN(5)) * 0x01010001
}

func (c *chooser) verdict() traffic.Verdict { return traffic.Verdict(c.IntN(2)) }

func (c *chooser) plan() *plan.Plan {
	p := plan.New("one")
	for _, addr := range c.addrs {
		if c.IntN(3) > 0 {
			p.Addrs[addr] = c.group()
		}
	}
	c.ranges(p, c.from4)
	c.ranges(p, c.from6)
	c.held(p)
	for i := range 1 + c.IntN(6) {
		direction := one(c, []traffic.Direction{traffic.Ingress, traffic.Egress})
		id := plan.ClassID(i+1) << (8 * c.IntN(4))
		p.Classes[id] = c.class(direction)
	}
	for _, addr := range c.locals {
		if c.IntN(5) > 0 {
			p.Local[addr] = plan.Local{Egress: c.classIn(p, traffic.Egress), Ingress: c.classIn(p, traffic.Ingress)}
		}
	}
	for id := range 5 {
		if c.IntN(2) == 0 {
			p.Wider[plan.PeerID(id+1)*0x01010001] = c.group()
		}
	}
	for _, id := range p.Addrs {
		p.Peers[id] = []string{fmt.Sprintf("group {a=%d}", c.IntN(3)), "net 0.0.0.0/0"}
	}
	return p
}

// ranges adds runs of addresses next to each other and apart, the last of all
// addresses sometimes among them.
func (c *chooser) ranges(p *plan.Plan, from netip.Addr) {
	next := from
	for range c.IntN(6) {
		for range c.IntN(3) {
			next = next.Next()
		}
		last := next
		for range c.IntN(6) {
			last = last.Next()
		}
		p.Ranges[plan.Range{First: next, Last: last}] = c.group()
		next = last.Next()
	}
	if c.IntN(3) == 0 {
		p.Ranges[plan.Range{First: next, Last: lastAddress(familyOf(next.BitLen()))}] = c.group()
	}
}

// held holds ranges around some addresses in every third plan; most of what is
// in them is known.
func (c *chooser) held(p *plan.Plan) {
	if c.IntN(3) > 0 {
		return
	}
	for range 1 + c.IntN(2) {
		addr := one(c, c.addrs)
		bits := []int{addr.BitLen(), addr.BitLen() - 4}[c.IntN(2)]
		block := netip.PrefixFrom(addr, bits).Masked()
		span := plan.Range{First: block.Addr(), Last: block.Addr()}
		for block.Contains(span.Last.Next()) {
			span.Last = span.Last.Next()
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(p.Held)), func(o plan.Range) bool { return o.Contains(span.First) || span.Contains(o.First) }) {
			p.Held[span] = struct{}{}
		}
	}
	for _, addr := range c.addrs {
		if c.IntN(3) > 0 {
			p.Known[addr] = struct{}{}
		}
	}
}

func (c *chooser) classIn(p *plan.Plan, direction traffic.Direction) plan.ClassID {
	for id, class := range p.Classes {
		if class.Direction == direction && c.IntN(2) == 0 {
			return id
		}
	}
	return 0
}

func (c *chooser) class(direction traffic.Direction) *plan.Class {
	class := &plan.Class{Direction: direction, Default: c.verdict(), Rows: map[plan.Row]traffic.Verdict{}}
	class.Audit = c.audits && c.IntN(4) == 0
	for i := range c.IntN(4) {
		class.Policies = append(class.Policies, fmt.Sprintf("x/policy-%d", i))
	}
	peers := []plan.Row{{AnyPeer: true}}
	for range c.IntN(4) {
		peers = append(peers, plan.Row{Peer: c.group()})
	}
	for _, row := range peers {
		if c.IntN(3) == 0 {
			class.Rows[row] = c.verdict()
		}
		for _, protocol := range testProtocols {
			c.ports(class, row, protocol)
		}
	}
	return class
}

// ports adds rows of one peer and protocol, which may not overlap.
func (c *chooser) ports(class *plan.Class, row plan.Row, protocol traffic.Protocol) {
	row.Protocol = protocol
	for other := range class.Rows {
		if other.Peer == row.Peer && other.AnyPeer == row.AnyPeer && other.Protocol == protocol {
			return
		}
	}
	points := testPorts
	if protocol.HasTypes() {
		points = testTypes
	}
	if c.IntN(4) == 0 {
		row.To = 65535
		if c.IntN(2) == 0 {
			class.Rows[row] = c.verdict()
		}
		return
	}
	for from := 0; from < len(points); from++ {
		to := min(from+c.IntN(3), len(points)-1)
		row.From, row.To = points[from], points[to]
		if c.IntN(2) == 0 {
			class.Rows[row] = c.verdict()
		}
		from = to
	}
}
