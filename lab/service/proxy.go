package service

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// perTransaction bounds how many entries change in one netlink transaction,
// which must fit into a socket's buffer.
const perTransaction = 50

// Proxy translates on one node.
type Proxy struct {
	conn     *nftables.Conn
	table    *nftables.Table
	families [2]family // IPv4, IPv6
	entries  map[string]Entry
}

// Open prepares a node. Nothing is translated yet.
func Open(node *space.Space) (*Proxy, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(node.FD()))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	p := &Proxy{conn: conn, entries: map[string]Entry{}}
	p.table = conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "services"})
	p.families = [2]family{newFamily4(), newFamily6()}
	for i := range p.families {
		if err := p.families[i].addSets(conn, p.table); err != nil {
			return nil, err
		}
	}
	p.addChains()
	if err := conn.Flush(); err != nil {
		return nil, fmt.Errorf("create table services: %w", err)
	}
	return p, nil
}

// Apply makes exactly these entries lead to their backends. Connections that
// are there go on where they are.
func (p *Proxy) Apply(entries []Entry) error {
	desired := map[string]Entry{}
	for _, e := range entries {
		desired[e.name()] = e
	}
	var changes []string
	for name, old := range p.entries {
		if e, ok := desired[name]; !ok || !e.equal(old) {
			changes = append(changes, name)
		}
	}
	for name := range desired {
		if _, ok := p.entries[name]; !ok {
			changes = append(changes, name)
		}
	}
	slices.Sort(changes)
	for chunk := range slices.Chunk(changes, perTransaction) {
		if err := p.change(chunk, desired); err != nil {
			return err
		}
	}
	return p.applyAddrs(desired)
}

// change replaces entries in one transaction.
func (p *Proxy) change(names []string, desired map[string]Entry) error {
	for _, name := range names {
		if old, ok := p.entries[name]; ok {
			if err := p.remove(name, old); err != nil {
				return err
			}
		}
		if e, ok := desired[name]; ok {
			if err := p.add(name, e); err != nil {
				return err
			}
		}
	}
	if err := p.conn.Flush(); err != nil {
		return fmt.Errorf("change services %s to %s: %w", names[0], names[len(names)-1], err)
	}
	for _, name := range names {
		if e, ok := desired[name]; ok {
			p.entries[name] = e
		} else {
			delete(p.entries, name)
		}
	}
	return nil
}

// applyAddrs brings the sets of addresses up to date: those of services, whose
// other ports are refused, and those of backends, which may talk to themselves.
func (p *Proxy) applyAddrs(desired map[string]Entry) error {
	services, backends := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, e := range desired {
		if !e.Addr.IsUnspecified() {
			services[e.Addr] = true
		}
		for _, b := range e.Backends {
			backends[b.Addr()] = true
		}
	}
	for i := range p.families {
		f := &p.families[i]
		if err := f.services.apply(p.conn, f.addrs(services)); err != nil {
			return err
		}
		if err := f.hairpins.apply(p.conn, f.addrs(backends)); err != nil {
			return err
		}
	}
	return nil
}

// addrSet is a set in the kernel with an element for each of some addresses.
type addrSet struct {
	set  *nftables.Set
	key  func(netip.Addr) []byte
	have map[netip.Addr]bool
}

func (s *addrSet) apply(conn *nftables.Conn, desired map[netip.Addr]bool) error {
	var changes []netip.Addr
	for _, a := range slices.Concat(slices.Collect(maps.Keys(desired)), slices.Collect(maps.Keys(s.have))) {
		if desired[a] != s.have[a] {
			changes = append(changes, a)
		}
	}
	for chunk := range slices.Chunk(changes, 10*perTransaction) {
		var added, removed []nftables.SetElement
		for _, a := range chunk {
			element := nftables.SetElement{Key: s.key(a)}
			if desired[a] {
				added = append(added, element)
			} else {
				removed = append(removed, element)
			}
		}
		if err := s.flush(conn, added, removed); err != nil {
			return fmt.Errorf("change set %s: %w", s.set.Name, err)
		}
	}
	s.have = desired
	return nil
}

func (s *addrSet) flush(conn *nftables.Conn, added, removed []nftables.SetElement) error {
	if len(added) > 0 {
		if err := conn.SetAddElements(s.set, added); err != nil {
			return err
		}
	}
	if len(removed) > 0 {
		if err := conn.SetDeleteElements(s.set, removed); err != nil {
			return err
		}
	}
	return conn.Flush()
}
