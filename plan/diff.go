package plan

import (
	"maps"
	"net/netip"
	"slices"

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
	Addrs   map[netip.Addr]Edit[PeerID]
	Ranges  map[Range]Edit[PeerID]
	Local   map[netip.Addr]Edit[Local]
	Classes map[ClassID]ClassEdit
}

// ClassEdit is the change of one class. Old and New are nil where the class does
// not exist; Rows has only the rows that differ.
type ClassEdit struct {
	Old, New *Class
	Rows     map[Row]Edit[traffic.Verdict]
}

// Compare is what turns plan a into plan b.
func Compare(a, b *Plan) Diff {
	d := Diff{
		Peers:  edits(a.Peers, b.Peers, slices.Equal[[]string]),
		Addrs:  edits(a.Addrs, b.Addrs, same[PeerID]),
		Ranges: edits(a.Ranges, b.Ranges, same[PeerID]),
		Local:  edits(a.Local, b.Local, same[Local]),
	}
	for id, e := range edits(a.Classes, b.Classes, (*Class).equal) {
		if d.Classes == nil {
			d.Classes = map[ClassID]ClassEdit{}
		}
		d.Classes[id] = ClassEdit{Old: e.Old, New: e.New, Rows: edits(e.Old.rows(), e.New.rows(), same[traffic.Verdict])}
	}
	return d
}

// Empty tells whether the diff changes nothing.
func (d Diff) Empty() bool {
	return len(d.Peers)+len(d.Addrs)+len(d.Ranges)+len(d.Local)+len(d.Classes) == 0
}

func (c *Class) rows() map[Row]traffic.Verdict {
	if c == nil {
		return nil
	}
	return c.Rows
}

func (c *Class) equal(o *Class) bool {
	return c.Direction == o.Direction && c.Default == o.Default &&
		slices.Equal(c.Policies, o.Policies) && maps.Equal(c.Rows, o.Rows)
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
