package plan

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Index judges packets as Plan.Trace does, in about a microsecond each whatever
// the plan's size. It reads the plan and prepares what it needs on first use, so
// it belongs to one goroutine, and Update must follow every change of the plan.
type Index struct {
	plan    *Plan
	v4, v6  sortedRanges
	stale   bool       // v4 and v6 are to be made anew
	held    *heldIndex // nil: it is to be made anew
	classes map[ClassID]*classIndex
	worse   map[step]bool
}

// step is an address's way from one group to another.
type step struct{ from, to PeerID }

type classIndex struct {
	fallback  traffic.Verdict
	audit     bool
	protocols []traffic.Protocol // that rows name
	rows      map[rowKey][]ports
}

type rowKey struct {
	peer     PeerID
	anyPeer  bool
	protocol traffic.Protocol
}

// ports are the ports of one row; those of one key are sorted.
type ports struct {
	from, to uint16
	verdict  traffic.Verdict
	filter   l7.FilterID // zero: none
}

// NewIndex is an index of a plan.
func NewIndex(p *Plan) *Index {
	return &Index{plan: p, stale: true, classes: map[ClassID]*classIndex{}, worse: map[step]bool{}}
}

// Update tells the index that the diff has become part of its plan.
func (x *Index) Update(d Diff) {
	x.stale = x.stale || len(d.Ranges) > 0
	if len(d.Held) > 0 {
		x.held = nil
	}
	for id := range d.Classes {
		delete(x.classes, id)
	}
	if len(d.Classes)+len(d.Wider) > 0 {
		clear(x.worse)
	}
}

// Trace is Plan.Trace.
func (x *Index) Trace(packet Packet) traffic.Verdict {
	if !packet.FromNode && x.holds(packet) {
		return traffic.Deny
	}
	if packet.From == packet.To {
		return traffic.Allow
	}
	if !x.plan.traceHosts(packet, x.judge) {
		return traffic.Deny
	}
	if packet.FromNode {
		return traffic.Allow
	}
	egress := x.judge(x.plan.Local[packet.From].Egress, packet.To, packet)
	if egress == traffic.Deny {
		return traffic.Deny
	}
	return egress.And(x.judge(x.plan.Local[packet.To].Ingress, packet.From, packet))
}

func (x *Index) judge(id ClassID, peer netip.Addr, packet Packet) traffic.Verdict {
	if id == 0 {
		return traffic.Allow
	}
	class := x.class(id)
	if class == nil {
		return traffic.Deny
	}
	if class.audit {
		return traffic.Allow
	}
	group := x.PeerOf(peer)
	return class.lookup(group, x.plan.Wider[group], packet.Protocol, packet.Port)
}

// Learns are the selectors of names that a local pod learns addresses for.
func (x *Index) Learns(pod netip.Addr) []l7.Selector {
	if class := x.plan.Classes[x.plan.Local[pod].Egress]; class != nil {
		return class.Learns
	}
	return nil
}

// Filters are what a connection that is inspected may carry: its content must
// pass each of them. Where there are none everything passes.
func (x *Index) Filters(packet Packet) []l7.Filter {
	var found []l7.Filter
	add := func(id ClassID, peer netip.Addr) {
		class := x.class(id)
		if class == nil || class.audit {
			return
		}
		group := x.PeerOf(peer)
		if row, ok := class.row(group, x.plan.Wider[group], packet.Protocol, packet.Port); ok && row.filter != 0 {
			found = append(found, x.plan.Filters[row.filter])
		}
	}
	add(x.plan.Local[packet.From].Egress, packet.To)
	add(x.plan.Local[packet.To].Ingress, packet.From)
	return found
}

// PeerOf is Plan.PeerOf.
func (x *Index) PeerOf(addr netip.Addr) PeerID {
	if id, ok := x.plan.Addrs[addr]; ok {
		return id
	}
	return x.rangeOf(addr)
}

func (x *Index) rangeOf(addr netip.Addr) PeerID {
	if x.stale {
		x.sortRanges()
	}
	ranges := x.v4
	if addr.BitLen() == 128 {
		ranges = x.v6
	}
	r, ok := ranges.find(addr)
	if !ok {
		return 0
	}
	return x.plan.Ranges[r]
}

func (x *Index) sortRanges() {
	x.v4, x.v6 = sortRanges(x.plan.Ranges)
	x.stale = false
}

func (x *Index) class(id ClassID) *classIndex {
	if found, ok := x.classes[id]; ok {
		return found
	}
	class, ok := x.plan.Classes[id]
	if !ok {
		return nil
	}
	made := newClassIndex(class)
	x.classes[id] = made
	return made
}

func newClassIndex(c *Class) *classIndex {
	x := &classIndex{fallback: c.Default, audit: c.Audit, rows: map[rowKey][]ports{}}
	for row, verdict := range c.Rows {
		key := rowKey{row.Peer, row.AnyPeer, row.Protocol}
		x.rows[key] = append(x.rows[key], ports{row.From, row.To, verdict, c.Filters[row]})
		if row.Protocol != traffic.AnyProtocol && !slices.Contains(x.protocols, row.Protocol) {
			x.protocols = append(x.protocols, row.Protocol)
		}
	}
	for _, rows := range x.rows {
		slices.SortFunc(rows, func(a, b ports) int { return int(a.from) - int(b.from) })
	}
	return x
}

func (x *classIndex) lookup(peer, wider PeerID, protocol traffic.Protocol, port uint16) traffic.Verdict {
	if found, ok := x.row(peer, wider, protocol, port); ok {
		return found.verdict
	}
	return x.fallback
}

// row is the most telling one.
func (x *classIndex) row(peer, wider PeerID, protocol traffic.Protocol, port uint16) (ports, bool) {
	for _, key := range []rowKey{
		{peer: peer, protocol: protocol}, {peer: peer},
		{peer: wider, protocol: protocol}, {peer: wider},
		{anyPeer: true, protocol: protocol}, {anyPeer: true},
	} {
		if found, ok := x.find(key, port); ok {
			return found, true
		}
	}
	return ports{}, false
}

func (x *classIndex) find(key rowKey, port uint16) (ports, bool) {
	rows := x.rows[key]
	if len(rows) == 0 {
		return ports{}, false
	}
	if key.protocol == traffic.AnyProtocol {
		return rows[0], true
	}
	i := sort.Search(len(rows), func(i int) bool { return rows[i].to >= port })
	if i == len(rows) || rows[i].from > port {
		return ports{}, false
	}
	return rows[i], true
}
