package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Edit is the change of one table entry. Had is false for an entry that is new,
// Has for one that is gone; the value that does not exist is its zero value.
type Edit[V any] struct {
	Old, New V
	Had, Has bool
}

// Diff turns one plan into another, entry by entry. Its zero value changes
// nothing.
type Diff struct {
	Peers   map[PeerID]Edit[[]string]
	Wider   map[PeerID]Edit[PeerID]
	Addrs   map[netip.Addr]Edit[PeerID]
	Ranges  map[Range]Edit[PeerID]
	Held    map[Range]Edit[struct{}]
	Known   map[netip.Addr]Edit[struct{}]
	Local   map[netip.Addr]Edit[Local]
	Classes map[ClassID]ClassEdit
	Filters map[l7.FilterID]Edit[l7.Filter]
	Hosts   map[Door]Edit[Host]
	Own     map[netip.Prefix]Edit[struct{}]
	Keep    map[netip.AddrPort]Edit[struct{}]
}

// ClassEdit is the change of one class. Rows and Filters have only what differs; all
// of it for a class that is new or gone.
type ClassEdit struct {
	// Old is the class before and New the class after, nil where there is none.
	// New is whole. Of a class that goes on existing, Old lacks the rows and
	// their filters.
	Old, New *Class
	Rows     map[Row]Edit[traffic.Verdict]
	Filters  map[Row]Edit[l7.FilterID]
}

// Compare is what turns plan a into plan b.
func Compare(a, b *Plan) Diff {
	d := Diff{
		Peers:   edits(a.Peers, b.Peers, slices.Equal[[]string]),
		Wider:   edits(a.Wider, b.Wider, same[PeerID]),
		Addrs:   edits(a.Addrs, b.Addrs, same[PeerID]),
		Ranges:  edits(a.Ranges, b.Ranges, same[PeerID]),
		Held:    edits(a.Held, b.Held, same[struct{}]),
		Known:   edits(a.Known, b.Known, same[struct{}]),
		Local:   edits(a.Local, b.Local, same[Local]),
		Filters: edits(a.Filters, b.Filters, func(a, b l7.Filter) bool { return a.ID() == b.ID() }),
		Hosts:   edits(a.Hosts, b.Hosts, same[Host]),
		Own:     edits(a.Own, b.Own, same[struct{}]),
		Keep:    edits(a.Keep, b.Keep, same[struct{}]),
	}
	for id, e := range edits(a.Classes, b.Classes, (*Class).equal) {
		if d.Classes == nil {
			d.Classes = map[ClassID]ClassEdit{}
		}
		rows := edits(e.Old.rows(), e.New.rows(), same[traffic.Verdict])
		filters := edits(e.Old.filters(), e.New.filters(), same[l7.FilterID])
		if e.Had && e.Has {
			e.Old = e.Old.head()
		}
		d.Classes[id] = ClassEdit{Old: e.Old, New: e.New, Rows: rows, Filters: filters}
	}
	return d
}

// Empty tells whether the diff changes nothing.
func (d Diff) Empty() bool {
	return len(d.Peers)+len(d.Wider)+len(d.Addrs)+len(d.Ranges)+len(d.Held)+len(d.Known)+len(d.Local)+len(d.Classes)+len(d.Filters)+d.doors() == 0
}

func (d Diff) doors() int { return len(d.Hosts) + len(d.Own) + len(d.Keep) }

// Len is the number of table entries that the diff touches: addresses, ranges,
// wider groups, local pods, what is held and known, classes that come, go or get another default, and
// rows. What only people read does not count.
func (d Diff) Len() int {
	n := len(d.Wider) + len(d.Addrs) + len(d.Ranges) + len(d.Held) + len(d.Known) + len(d.Local) + d.doors()
	for _, e := range d.Classes {
		if e.Old == nil || e.New == nil || e.Old.Default != e.New.Default {
			n++
		}
		n += len(e.Rows)
	}
	return n
}

// Apply changes a plan as the diff says. The plan must be one that the diff was
// made from; it shares no map with the diff afterwards.
func (d Diff) Apply(p *Plan) {
	apply(p.Peers, d.Peers)
	apply(p.Wider, d.Wider)
	apply(p.Addrs, d.Addrs)
	apply(p.Ranges, d.Ranges)
	apply(p.Held, d.Held)
	apply(p.Known, d.Known)
	apply(p.Local, d.Local)
	apply(p.Filters, d.Filters)
	apply(p.Hosts, d.Hosts)
	apply(p.Own, d.Own)
	apply(p.Keep, d.Keep)
	for id, e := range d.Classes {
		if e.New == nil {
			delete(p.Classes, id)
			continue
		}
		class := e.New.head()
		class.Rows, class.Filters = map[Row]traffic.Verdict{}, map[Row]l7.FilterID{}
		if old, ok := p.Classes[id]; ok {
			class.Rows, class.Filters = old.Rows, old.Filters
		}
		apply(class.Rows, e.Rows)
		apply(class.Filters, e.Filters)
		p.Classes[id] = class
	}
}

func apply[K comparable, V any](to map[K]V, edits map[K]Edit[V]) {
	for k, e := range edits {
		if e.Has {
			to[k] = e.New
		} else {
			delete(to, k)
		}
	}
}

// head is the class without its rows and filters.
func (c *Class) head() *Class {
	return &Class{Direction: c.Direction, Policies: c.Policies, Learns: c.Learns, Default: c.Default, Audit: c.Audit, Grants: c.Grants}
}

func (c *Class) rows() map[Row]traffic.Verdict {
	if c == nil {
		return nil
	}
	return c.Rows
}

func (c *Class) filters() map[Row]l7.FilterID {
	if c == nil {
		return nil
	}
	return c.Filters
}

func (c *Class) equal(o *Class) bool {
	return c.Direction == o.Direction && c.Default == o.Default && c.Audit == o.Audit && c.Grants == o.Grants &&
		slices.Equal(c.Policies, o.Policies) && l7.SameKeys(c.Learns, o.Learns) && maps.Equal(c.Rows, o.Rows) && maps.Equal(c.Filters, o.Filters)
}

func same[V comparable](a, b V) bool { return a == b }

// edits is nil if nothing differs.
func edits[K comparable, V any](a, b map[K]V, equal func(V, V) bool) map[K]Edit[V] {
	var found map[K]Edit[V]
	note := func(k K, e Edit[V]) {
		if found == nil {
			found = map[K]Edit[V]{}
		}
		found[k] = e
	}
	for k, old := range a {
		if value, ok := b[k]; !ok {
			note(k, Edit[V]{Old: old, Had: true})
		} else if !equal(old, value) {
			note(k, Edit[V]{Old: old, New: value, Had: true, Has: true})
		}
	}
	for k, value := range b {
		if _, ok := a[k]; !ok {
			note(k, Edit[V]{New: value, Has: true})
		}
	}
	return found
}
