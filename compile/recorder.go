package compile

import (
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// recorder is the plan together with what changed in it since the last take.
type recorder struct {
	plan    *plan.Plan
	peers   table[plan.PeerID, []string]
	wider   table[plan.PeerID, plan.PeerID]
	ranges  table[plan.Range, plan.PeerID]
	addrs   table[netip.Addr, plan.PeerID]
	held    table[plan.Range, struct{}]
	known   table[netip.Addr, struct{}]
	local   table[netip.Addr, plan.Local]
	filters table[l7.FilterID, l7.Filter]
	hosts   table[plan.Door, plan.Host]
	own     table[netip.Prefix, struct{}]
	keep    table[netip.AddrPort, struct{}]
	classes map[plan.ClassID]*classRecord
}

// classRecord is one class's changes.
type classRecord struct {
	old     *plan.Class // before, without rows; nil: there was none
	rows    table[plan.Row, traffic.Verdict]
	filters table[plan.Row, l7.FilterID]
}

// set writes a row, with its filter if it has one.
func (r *classRecord) set(at plan.Row, row row) {
	r.rows.set(at, row.verdict)
	if row.filter != nil {
		r.filters.set(at, row.filter.id)
	} else {
		r.filters.delete(at)
	}
}

func (r *classRecord) delete(at plan.Row) {
	r.rows.delete(at)
	r.filters.delete(at)
}

func newRecorder(node string) *recorder {
	p := plan.New(node)
	return &recorder{
		plan:    p,
		peers:   table[plan.PeerID, []string]{values: p.Peers, equal: slices.Equal[[]string]},
		wider:   newTable(p.Wider),
		ranges:  newTable(p.Ranges),
		addrs:   newTable(p.Addrs),
		held:    newTable(p.Held),
		known:   newTable(p.Known),
		local:   newTable(p.Local),
		filters: table[l7.FilterID, l7.Filter]{values: p.Filters, equal: func(a, b l7.Filter) bool { return a.ID() == b.ID() }},
		hosts:   newTable(p.Hosts),
		own:     newTable(p.Own),
		keep:    newTable(p.Keep),
		classes: map[plan.ClassID]*classRecord{},
	}
}

// class is the record of a class's changes.
func (r *recorder) class(id plan.ClassID) *classRecord {
	found, ok := r.classes[id]
	if !ok {
		found = &classRecord{}
		found.rows.equal, found.filters.equal = same[traffic.Verdict], same[l7.FilterID]
		if class := r.plan.Classes[id]; class != nil {
			found.old = head(class)
			found.rows.values, found.filters.values = class.Rows, class.Filters
		}
		r.classes[id] = found
	}
	return found
}

// setClass makes a class exist, with what is not a row.
func (r *recorder) setClass(id plan.ClassID, h plan.Class) *classRecord {
	record := r.class(id)
	class, ok := r.plan.Classes[id]
	if !ok {
		class = &plan.Class{Rows: map[plan.Row]traffic.Verdict{}, Filters: map[plan.Row]l7.FilterID{}}
		r.plan.Classes[id] = class
		record.rows.values, record.filters.values = class.Rows, class.Filters
	}
	class.Direction, class.Policies, class.Learns, class.Default, class.Audit = h.Direction, h.Policies, h.Learns, h.Default, h.Audit
	class.Grants = h.Grants
	return record
}

func (r *recorder) deleteClass(id plan.ClassID) {
	record := r.class(id)
	for row := range record.rows.values {
		record.delete(row)
	}
	delete(r.plan.Classes, id)
}

// take is all changes since the last one.
func (r *recorder) take() plan.Diff {
	d := plan.Diff{
		Peers: r.peers.take(), Wider: r.wider.take(),
		Addrs: r.addrs.take(), Ranges: r.ranges.take(),
		Held: r.held.take(), Known: r.known.take(), Local: r.local.take(),
		Filters: r.filters.take(),
		Hosts:   r.hosts.take(), Own: r.own.take(), Keep: r.keep.take(),
	}
	for id, record := range r.classes {
		e := plan.ClassEdit{Old: record.old, New: r.plan.Classes[id], Rows: record.rows.take(), Filters: record.filters.take()}
		if e.Old == nil && e.New == nil || len(e.Rows)+len(e.Filters) == 0 && sameHead(e.Old, e.New) {
			continue
		}
		if e.New == nil {
			e.Old.Rows, e.Old.Filters = before(e.Rows), before(e.Filters)
		}
		if d.Classes == nil {
			d.Classes = map[plan.ClassID]plan.ClassEdit{}
		}
		d.Classes[id] = e
	}
	clear(r.classes)
	return d
}

// before are the values that are gone.
func before[V any](edits map[plan.Row]plan.Edit[V]) map[plan.Row]V {
	old := make(map[plan.Row]V, len(edits))
	for row, e := range edits {
		old[row] = e.Old
	}
	return old
}

func head(c *plan.Class) *plan.Class {
	return &plan.Class{Direction: c.Direction, Policies: c.Policies, Learns: c.Learns, Default: c.Default, Audit: c.Audit, Grants: c.Grants}
}

func sameHead(a, b *plan.Class) bool {
	return a != nil && b != nil && a.Direction == b.Direction && a.Default == b.Default && a.Audit == b.Audit &&
		slices.Equal(a.Policies, b.Policies) && l7.SameKeys(a.Learns, b.Learns)
}

// table is one map of the plan and the edits that it got. An edit that is undone
// leaves no trace.
type table[K comparable, V any] struct {
	values map[K]V
	edits  map[K]plan.Edit[V]
	equal  func(V, V) bool
}

func newTable[K, V comparable](values map[K]V) table[K, V] {
	return table[K, V]{values: values, equal: same[V]}
}

func same[V comparable](a, b V) bool { return a == b }

func (t *table[K, V]) set(k K, v V) {
	old, had := t.values[k]
	if had && t.equal(old, v) {
		return
	}
	t.note(k, plan.Edit[V]{Old: old, New: v, Had: had, Has: true})
	t.values[k] = v
}

func (t *table[K, V]) delete(k K) {
	old, had := t.values[k]
	if !had {
		return
	}
	t.note(k, plan.Edit[V]{Old: old, Had: true})
	delete(t.values, k)
}

// note adds an edit to the one that the entry got before.
func (t *table[K, V]) note(k K, e plan.Edit[V]) {
	if before, ok := t.edits[k]; ok {
		e.Old, e.Had = before.Old, before.Had
	}
	if e.Had == e.Has && t.equal(e.Old, e.New) {
		delete(t.edits, k)
		return
	}
	if t.edits == nil {
		t.edits = map[K]plan.Edit[V]{}
	}
	t.edits[k] = e
}

// take is the edits, nil if there are none.
func (t *table[K, V]) take() map[K]plan.Edit[V] {
	edits := t.edits
	t.edits = nil
	if len(edits) == 0 {
		return nil
	}
	return edits
}
