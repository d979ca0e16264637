package plan

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Scope is where a diff may take something away: the live connections outside
// it are allowed exactly if they were before, or more. Its zero value is empty.
type Scope struct {
	// Local are own pods, by address, that some class has come upon.
	Local map[netip.Addr]struct{}
	// Peers and Ranges are addresses of other ends that changed their group.
	Peers  map[netip.Addr]struct{}
	Ranges []Range
	// Unknown are addresses that came to be held, or whose pod is gone.
	Unknown map[netip.Addr]struct{}
	// Classes are those that allow less; every connection of their pods is
	// concerned.
	Classes map[ClassID]struct{}
	// All: every connection is concerned.
	All bool
}

// Empty tells whether no connection is concerned.
func (s Scope) Empty() bool {
	return !s.All && len(s.Local)+len(s.Peers)+len(s.Ranges)+len(s.Unknown)+len(s.Classes) == 0
}

// Contains tells whether a connection between two addresses is concerned; p is
// the plan that the diff has become part of.
func (s Scope) Contains(p *Plan, from, to netip.Addr) bool {
	return s.All || s.unknown(from) || s.unknown(to) ||
		s.touches(p.Local[from].Egress, from, to) || s.touches(p.Local[to].Ingress, to, from) ||
		len(p.Hosts) > 0 && (s.Hosts(p) || s.changed(from) || s.changed(to))
}

func (s Scope) unknown(addr netip.Addr) bool {
	_, unknown := s.Unknown[addr]
	return unknown
}

// Hosts tells whether every connection that passes a door of the node is
// concerned.
func (s Scope) Hosts(p *Plan) bool {
	for _, h := range p.Hosts {
		for id := range h.Classes() {
			if _, ok := s.Classes[id]; ok {
				return true
			}
		}
	}
	return false
}

// changed tells whether an address went to another group.
func (s Scope) changed(addr netip.Addr) bool {
	_, byPeer := s.Peers[addr]
	return byPeer || slices.ContainsFunc(s.Ranges, func(r Range) bool { return r.Contains(addr) })
}

func (s Scope) touches(class ClassID, local, peer netip.Addr) bool {
	if class == 0 {
		return false
	}
	_, byLocal := s.Local[local]
	_, byClass := s.Classes[class]
	return byLocal || byClass || s.changed(peer)
}

// Revokes tells whether the diff can take something away.
func (d Diff) Revokes() bool { return !d.Scope().Empty() }

// Scope is where the diff can take something away, as far as the diff alone
// shows; Index.Scope knows more.
func (d Diff) Scope() Scope {
	s := d.scopeOfTables()
	for addr := range d.Addrs {
		note(&s.Peers, addr)
	}
	return s
}

// Scope is where the diff, which is part of the index's plan already, can take
// something away. An address that goes to a group which no class likes less than
// the one before is left out: most often a pod that starts.
func (x *Index) Scope(d Diff) Scope {
	s := d.scopeOfTables()
	for addr, e := range d.Addrs {
		if len(d.Ranges) > 0 || x.loses(x.groupOr(addr, e.Old, e.Had), x.groupOr(addr, e.New, e.Has)) {
			note(&s.Peers, addr)
		}
	}
	return s
}

// scopeOfTables is the scope of everything but single addresses.
func (d Diff) scopeOfTables() Scope {
	var s Scope
	for addr, e := range d.Local {
		if e.New.Egress != 0 && e.New.Egress != e.Old.Egress || e.New.Ingress != 0 && e.New.Ingress != e.Old.Ingress {
			note(&s.Local, addr)
		}
	}
	for r := range d.Ranges {
		s.Ranges = append(s.Ranges, r)
	}
	for id, e := range d.Classes {
		if e.revokes() {
			note(&s.Classes, id)
		}
	}
	d.scopeOfHeld(&s)
	s.All = s.All || len(d.Hosts)+len(d.Keep) > 0
	for prefix := range d.Own {
		if prefix.IsSingleIP() {
			note(&s.Unknown, prefix.Addr()) // a pod that comes or goes
		} else {
			s.All = true
		}
	}
	for _, e := range d.Wider {
		s.All = s.All || e.Had && e.Has
	}
	return s
}

// revokes is true also where a row that goes is replaced by others that allow as
// much: a connection looked at in vain does no harm.
func (e ClassEdit) revokes() bool {
	if e.Old == nil || e.New == nil {
		return false // Local says which pods come to it
	}
	if e.Old.Default == traffic.Allow && e.New.Default == traffic.Deny {
		return true
	}
	for _, row := range e.Rows {
		if row.Had && row.Old.Opens() || row.Has && row.New != traffic.Allow {
			return true
		}
	}
	return false
}

func note[K comparable](set *map[K]struct{}, k K) {
	if *set == nil {
		*set = map[K]struct{}{}
	}
	(*set)[k] = struct{}{}
}

func (x *Index) groupOr(addr netip.Addr, id PeerID, ok bool) PeerID {
	if ok {
		return id
	}
	return x.rangeOf(addr)
}

// loses tells whether some class allows a group something that it denies
// another.
func (x *Index) loses(from, to PeerID) bool {
	if from == to {
		return false
	}
	s := step{from, to}
	lost, ok := x.worse[s]
	if !ok {
		for id := range x.plan.Classes {
			if lost = x.class(id).loses(from, x.plan.Wider[from], to, x.plan.Wider[to]); lost {
				break
			}
		}
		x.worse[s] = lost
	}
	return lost
}

// loses compares two groups at every place where their verdicts can change.
func (x *classIndex) loses(from, fromWider, to, toWider PeerID) bool {
	groups := []PeerID{from, fromWider, to, toWider}
	if !x.knows(groups) {
		return false
	}
	for _, protocol := range append([]traffic.Protocol{traffic.AnyProtocol}, x.protocols...) {
		for _, port := range x.edges(groups, protocol) {
			before, after := x.lookup(from, fromWider, protocol, port), x.lookup(to, toWider, protocol, port)
			if before != after && before.Opens() && after != traffic.Allow {
				return true
			}
		}
	}
	return false
}

// knows tells whether the class has a row of one of the groups.
func (x *classIndex) knows(groups []PeerID) bool {
	for _, g := range groups {
		if g == 0 {
			continue
		}
		for _, protocol := range append([]traffic.Protocol{traffic.AnyProtocol}, x.protocols...) {
			if len(x.rows[rowKey{peer: g, protocol: protocol}]) > 0 {
				return true
			}
		}
	}
	return false
}

// edges are ports such that every verdict on the groups is a verdict at one of
// them.
func (x *classIndex) edges(groups []PeerID, protocol traffic.Protocol) []uint16 {
	found := []uint16{0}
	add := func(rows []ports) {
		for _, p := range rows {
			found = append(found, p.from)
			if p.to < 65535 {
				found = append(found, p.to+1)
			}
		}
	}
	for _, g := range groups {
		add(x.rows[rowKey{peer: g, protocol: protocol}])
	}
	add(x.rows[rowKey{anyPeer: true, protocol: protocol}])
	slices.Sort(found)
	return slices.Compact(found)
}
