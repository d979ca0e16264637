package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// ErrNoTable: the kernel has no table of ours.
var ErrNoTable = errors.New("there is no table inet " + TableName)

// Live is the plan that the kernel has. It is read back from the elements that
// packets are judged by, so it shows what is in force, whoever put it there.
// Texts come from comments, which nft keeps to 127 bytes: a long list of
// policies ends in "+3 more".
func (d *Dataplane) Live(ctx context.Context) (*plan.Plan, error) {
	r, err := readStill(ctx, d.conn)
	if err != nil {
		return nil, d.failed("read table", err)
	}
	if !r.exists {
		return nil, ErrNoTable
	}
	p, err := r.plan()
	if err != nil {
		return nil, fmt.Errorf("read table: %w", err)
	}
	return p, nil
}

// Shown is a plan with its texts as Live gives them back.
func Shown(p *plan.Plan) *plan.Plan {
	shown := *p
	shown.Node = firstOf(commentParts(tableCommentPrefix, tableComment(p.Node)))
	shown.Filters = map[l7.FilterID]l7.Filter{} // the proxy has them
	shown.Peers = map[plan.PeerID][]string{}
	for id, names := range p.Peers {
		shown.Peers[id] = commentParts("", comment("", names))
	}
	shown.Classes = map[plan.ClassID]*plan.Class{}
	for id, class := range p.Classes {
		c := *class
		c.Filters, c.Learns = nil, nil
		c.Policies = commentedClass(classComment(class)).Policies
		shown.Classes[id] = &c
	}
	return &shown
}

func firstOf(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return parts[0]
}

// plan undoes render.
func (r *ruleset) plan() (*plan.Plan, error) {
	p := plan.New(firstOf(commentParts(tableCommentPrefix, r.comment)))
	for _, e := range r.elements(setGroups) {
		p.Peers[peerID(e.key)] = commentParts("", e.comment)
	}
	for _, e := range r.elements(mapWider) {
		p.Wider[peerID(e.key)] = peerID(e.data)
	}
	for _, f := range families {
		for _, e := range r.elements(mapPeers + f.suffix) {
			p.Addrs[address(e.key)] = peerID(e.data)
		}
		for span, e := range r.spans(f, mapRanges) {
			p.Ranges[span] = peerID(e.data)
		}
		for span := range r.spans(f, setHeld) {
			p.Held[span] = struct{}{}
		}
		for _, e := range r.elements(setKnown + f.suffix) {
			p.Known[address(e.key)] = struct{}{}
		}
		if err := r.locals(f, p); err != nil {
			return nil, err
		}
	}
	if err := r.readHosts(p); err != nil {
		return nil, err
	}
	return p, r.classes(p)
}

func (r *ruleset) elements(set string) map[string]element {
	if s, ok := r.sets[set]; ok {
		return s.elems
	}
	return nil
}

func address(key string) netip.Addr {
	addr, _ := netip.AddrFromSlice([]byte(key))
	return addr
}

func peerID(key string) plan.PeerID { return plan.PeerID(fromHostOrder(key)) }

// spans joins the starts and the ends of the ranges in a set.
func (r *ruleset) spans(f family, set string) map[plan.Range]element {
	spans := map[plan.Range]element{}
	elems := slices.SortedFunc(maps.Values(r.elements(set+f.suffix)), compareElements)
	for i, e := range elems {
		if e.end {
			continue
		}
		last := lastAddress(f)
		if i+1 < len(elems) {
			last = address(elems[i+1].key).Prev()
		}
		spans[plan.Range{First: address(e.key), Last: last}] = e
	}
	return spans
}

func lastAddress(f family) netip.Addr {
	all := make([]byte, f.addr.Bytes)
	for i := range all {
		all[i] = 0xff
	}
	return address(string(all))
}

// locals reads the pods' classes. The self set has every local pod, also one
// whose classes are both zero.
func (r *ruleset) locals(f family, p *plan.Plan) error {
	for _, e := range r.elements(setSelf + f.suffix) {
		p.Local[address(e.key[:f.addr.Bytes])] = plan.Local{}
	}
	for _, direction := range directions {
		name := mapOfPods(direction, f)
		for _, e := range r.elements(name) {
			local, known := p.Local[address(e.key)]
			class := plan.ClassID(fromHostOrder(e.data))
			if !known || class == 0 {
				return fmt.Errorf("map %s: element %s is not ours", name, address(e.key))
			}
			if direction == traffic.Egress {
				local.Egress = class
			} else {
				local.Ingress = class
			}
			p.Local[address(e.key)] = local
		}
	}
	return nil
}

// leads tells whether the maps of jumps lead to a class's chains.
func (r *ruleset) leads(direction traffic.Direction, id plan.ClassID) bool {
	element := element{key: string(hostOrder(uint32(id)))}
	for _, w := range []way{request, reply} {
		if r.elements(direction.String() + w.chains)[element.id()].jump != className(direction, id)+w.suffix {
			return false
		}
	}
	return true
}

func (r *ruleset) classes(p *plan.Plan) error {
	for name, c := range r.chains {
		direction, id, rest, ok := parseClassName(name)
		if !ok || rest != "" {
			continue
		}
		if !r.leads(direction, id) {
			return fmt.Errorf("chain %s: nothing leads to it", name)
		}
		class, err := c.class(name, direction)
		if err != nil {
			return err
		}
		p.Classes[id] = class
	}
	for name, s := range r.sets {
		_, id, kind, ok := parseClassName(name)
		if !ok {
			continue
		}
		class, known := p.Classes[id]
		if !known {
			return fmt.Errorf("set %s: its class has no chain", name)
		}
		if err := readRows(class, strings.TrimPrefix(kind, "_"), s); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// class reads what is in a class's rules and not in its sets: the default at the
// end, and in front of it the row for everything.
func (c *chain) class(name string, direction traffic.Direction) (*plan.Class, error) {
	class := commentedClass(c.comment)
	class.Direction, class.Rows = direction, map[plan.Row]traffic.Verdict{}
	ends := map[string]traffic.Verdict{}
	for _, v := range []traffic.Verdict{traffic.Allow, traffic.Deny} {
		encoded, err := encodeExprs(request.end(name, v, class))
		if err != nil {
			return nil, err
		}
		ends[string(canonical(encoded))] = v
	}
	n := len(c.rules)
	if n == 0 {
		return nil, fmt.Errorf("chain %s: is empty", name)
	}
	var ok bool
	if class.Default, ok = ends[string(canonical(c.rules[n-1].exprs))]; !ok {
		return nil, fmt.Errorf("chain %s: its last rule is not ours", name)
	}
	if n > 1 {
		if v, ok := ends[string(canonical(c.rules[n-2].exprs))]; ok {
			class.Rows[plan.Row{AnyPeer: true}] = v
		}
	}
	return class, nil
}

// readRows undoes addRows for one set.
func readRows(class *plan.Class, kind string, s *set) error {
	verdict := traffic.Allow
	for v, suffix := range verdictSuffixes {
		if rest, found := strings.CutSuffix(kind, suffix); found {
			kind, verdict = rest, v
		}
	}
	if typ, ok := kindTypes[kind]; !ok || !typ.same(s.typ) {
		return errors.New("is not ours")
	}
	for _, e := range s.elems {
		class.Rows[elementRow(kind, e)] = verdict
	}
	return nil
}

// elementRow undoes rowElement.
func elementRow(kind string, e element) plan.Row {
	var row plan.Row
	key := []byte(e.key)
	kind, row.AnyPeer = strings.CutPrefix(kind, anyPrefix)
	if !row.AnyPeer {
		row.Peer = peerID(e.key[:4])
		if isRange(kind) {
			row.Peer = plan.PeerID(binary.BigEndian.Uint32(key))
		}
		key = key[4:]
	}
	if kind == kindPeers {
		return row
	}
	row.Protocol, row.To = traffic.Protocol(key[0]), 65535
	if kind != kindProtocols {
		row.From = binary.BigEndian.Uint16(key[4:])
		row.To = row.From
	}
	if isRange(kind) {
		end := e.keyEnd
		row.To = binary.BigEndian.Uint16([]byte(end[len(end)-4:]))
	}
	return row
}

func fromHostOrder(key string) uint32 {
	if len(key) != 4 {
		return 0
	}
	return binary.NativeEndian.Uint32([]byte(key))
}
