package nft

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// kindOf is the set that a row belongs to.
func kindOf(row plan.Row) (string, error) {
	if row.AnyPeer && row.Peer != 0 || row.From > row.To {
		return "", fmt.Errorf("row %s: contradicts itself", row)
	}
	var kind string
	switch whole := row.From == 0 && row.To == 65535; {
	case row.Protocol == traffic.AnyProtocol && row.AnyPeer:
		return kindAny, nil
	case row.Protocol == traffic.AnyProtocol:
		return kindPeers, nil
	case whole:
		kind = kindProtocols
	case row.Protocol.HasTypes() && row.From == row.To:
		kind = kindICMP
	case row.Protocol.HasTypes():
		kind = kindICMPRanges
	case !row.Protocol.HasPorts():
		// What lies where a port would be is something else.
		return "", fmt.Errorf("row %s: ports of a protocol without ports", row)
	case row.From == row.To:
		kind = kindPorts
	default:
		kind = kindRanges
	}
	if row.AnyPeer {
		kind = anyPrefix + kind
	}
	return kind, nil
}

// rowElement is the row's element in the set of its kind.
func rowElement(kind string, row plan.Row) element {
	var key []byte
	if !row.AnyPeer {
		if isRange(kind) {
			key = bigEndian(uint32(row.Peer)) // as byteorder makes it
		} else {
			key = hostOrder(uint32(row.Peer))
		}
	}
	if row.Protocol != traffic.AnyProtocol {
		key = append(key, byte(row.Protocol))
	}
	switch kind {
	case kindProtocols:
		key = pad(key)
	case kindPorts, kindAnyPorts, kindICMP, kindAnyICMP:
		key = withPort(key, row.From)
	case kindRanges, kindAnyRanges, kindICMPRanges, kindAnyICMPRange:
		return element{key: string(withPort(key, row.From)), keyEnd: string(withPort(key, row.To))}
	}
	return element{key: string(key)}
}

// isRange tells whether a kind of set has ranges with a peer in front.
func isRange(kind string) bool { return kind == kindRanges || kind == kindICMPRanges }

// Fields of a concatenation take 4 bytes each.
func pad(key []byte) []byte {
	for len(key)%4 != 0 {
		key = append(key, 0)
	}
	return key
}

func withPort(key []byte, port uint16) []byte {
	return pad(binary.BigEndian.AppendUint16(pad(append([]byte{}, key...)), port))
}

// shape is what of a class decides its rules.
type shape struct {
	class *plan.Class // its rows are not looked at
	sets  map[classSet]bool
}

type classSet struct {
	kind    string
	verdict traffic.Verdict
}

// classShape counts the rows of each set; a set without rows does not exist.
func classShape(class *plan.Class, counts map[classSet]int) shape {
	s := shape{class: class, sets: map[classSet]bool{}}
	for cs, n := range counts {
		if n > 0 {
			s.sets[cs] = true
		}
	}
	return s
}

// asksPeer tells whether any row is about some peers only.
func (s shape) asksPeer() bool {
	for cs := range s.sets {
		if slices.Contains(peerKinds, cs.kind) {
			return true
		}
	}
	return false
}

// addClass adds a class's chains, counter and sets, the latter with the
// elements of the given rows only.
func (r *ruleset) addClass(id plan.ClassID, s shape, rows map[plan.Row]traffic.Verdict) error {
	name := className(s.class.Direction, id)
	note := classComment(s.class)
	r.counters[name] = note
	for cs := range s.sets {
		if cs.kind == kindAny {
			continue
		}
		r.addSet(setName(name, cs.kind, cs.verdict), kindTypes[cs.kind], note)
	}
	if err := r.addRows(name, rows); err != nil {
		return fmt.Errorf("class %s: %w", id, err)
	}
	key := string(hostOrder(uint32(id)))
	for _, w := range []way{request, reply} {
		chain := name + w.suffix
		if err := r.addChain(chain, note, hook{}, classRules(name, note, s, w)...); err != nil {
			return err
		}
		r.addElement(s.class.Direction.String()+w.chains, element{key: key, jump: chain})
	}
	return nil
}

// way is how to find the peer, the port that counts, and ICMP's type and code.
type way struct {
	suffix, chains string                         // of the class's chain, and of the map that leads there
	peer           map[traffic.Direction]string   // the chain that loads it
	port, icmp     func(register uint32) expr.Any // load them
}

// A request has its port at its destination; in ICMP, type and code lie where
// others have their source port. A reply has the port at its source. Its type is
// another than the request's, which the connection knows, for it is new there.
var (
	request = way{
		chains: suffixClasses,
		peer:   map[traffic.Direction]string{traffic.Egress: chainPeerDest, traffic.Ingress: chainPeerSource},
		port:   func(register uint32) expr.Any { return loadPort(offsetDest, register) },
		icmp:   func(register uint32) expr.Any { return loadPort(offsetSource, register) },
	}
	reply = way{
		suffix: suffixReply, chains: suffixReplies,
		peer: map[traffic.Direction]string{traffic.Egress: chainPeerSource, traffic.Ingress: chainPeerDest},
		port: func(register uint32) expr.Any { return loadPort(offsetSource, register) },
		icmp: originalPort,
	}
)

// addRows adds the rows' elements to the class's sets.
func (r *ruleset) addRows(class string, rows map[plan.Row]traffic.Verdict) error {
	for row, verdict := range rows {
		kind, err := kindOf(row)
		if err != nil {
			return err
		}
		if kind != kindAny {
			r.addElement(setName(class, kind, verdict), rowElement(kind, row))
		}
	}
	return nil
}

// classRules asks the sets in the order of plan.Class.Lookup.
func classRules(name, note string, s shape, w way) []text {
	var rules []text
	ask := func(kinds []string) {
		for _, kind := range kinds {
			for _, v := range verdicts {
				if s.sets[classSet{kind, v}] {
					match := append(loadKey(kind, w), inSet(setName(name, kind, v)))
					rules = append(rules, text{note, exprs(match, w.end(name, v, s.class))})
				}
			}
		}
	}
	if s.asksPeer() {
		rules = append(rules, text{"", jump(w.peer[s.class.Direction])})
		ask(peerKinds)
		rules = append(rules, text{"", []expr.Any{loadPriority(), mapped(mapWider), setPriority()}})
		ask(peerKinds)
	}
	ask(anyPeerKinds)
	for _, v := range verdicts {
		if s.sets[classSet{kindAny, v}] {
			rules = append(rules, text{note, w.end(name, v, s.class)})
		}
	}
	return append(rules, text{note, w.end(name, s.class.Default, s.class)})
}

// verdicts are those that rows have. They are never about the same packet in one
// kind of set, so their order is of no account.
var verdicts = []traffic.Verdict{traffic.Deny, traffic.InspectHTTP, traffic.InspectDNS, traffic.Allow}

// inspected are the labels of connections that go to the proxy.
var inspected = map[traffic.Verdict]int{traffic.InspectHTTP: dataplane.LabelHTTP, traffic.InspectDNS: dataplane.LabelDNS}

// end carries a verdict out. Allowed is for the chain that called to go on; so
// is what a class that is only audited denies, after it was noted. A connection
// to be inspected gets its label and goes on too; a reply without one belongs to
// a connection that began when it was not to be inspected, and ends. A class that
// grants only gives its label.
func (w way) end(class string, v traffic.Verdict, c *plan.Class) []expr.Any {
	label, inspects := inspected[v]
	audit := c.Audit
	switch {
	case c.Grants && v == traffic.Allow:
		return exprs(setLabel(dataplane.LabelHost), giveBack())
	case c.Grants:
		return giveBack()
	case v == traffic.Allow || inspects && audit:
		return giveBack()
	case inspects && w.suffix == "":
		return exprs(setLabel(label), giveBack())
	case audit:
		return exprs(count(class), note(class), giveBack())
	}
	return exprs(count(class), jumpTo(chainDeny))
}

// loadKey loads a packet's key of a kind of set, each field into 4 bytes.
func loadKey(kind string, w way) []expr.Any {
	protocol := func(register uint32) expr.Any {
		return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}
	}
	port := w.port
	if strings.HasPrefix(strings.TrimPrefix(kind, anyPrefix), kindICMP) {
		port = w.icmp
	}
	switch kind {
	case kindPorts, kindICMP:
		return []expr.Any{loadPriority(), protocol(reg9), port(reg10)}
	case kindRanges, kindICMPRanges:
		return []expr.Any{loadPriority(), byteorder(reg1), protocol(reg9), port(reg10)}
	case kindProtocols:
		return []expr.Any{loadPriority(), protocol(reg9)}
	case kindPeers:
		return []expr.Any{loadPriority()}
	case kindAnyPorts, kindAnyRanges, kindAnyICMP, kindAnyICMPRange:
		return []expr.Any{protocol(reg1), port(reg9)}
	}
	return []expr.Any{protocol(reg1)}
}
