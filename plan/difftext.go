package plan

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/l7"
)

// Text is the diff in the lines of the plans' text: those that go start with
// "- ", those that come with "+ ", and a class that goes on existing stands
// above its changes with two spaces. It is empty if nothing differs.
func (d Diff) Text() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(d.Peers)) {
		writeEdit(&b, d.Peers[id], func(m []string) []string { return peerLines(id, m) })
	}
	for _, id := range slices.Sorted(maps.Keys(d.Wider)) {
		writeEdit(&b, d.Wider[id], func(w PeerID) []string { return []string{widerLine(id, w)} })
	}
	for _, addr := range sortedAddrs(d.Addrs) {
		writeEdit(&b, d.Addrs[addr], func(id PeerID) []string { return []string{addrLine(addr, id)} })
	}
	for _, r := range slices.SortedFunc(maps.Keys(d.Ranges), Range.Compare) {
		writeEdit(&b, d.Ranges[r], func(id PeerID) []string { return []string{rangeLine(r, id)} })
	}
	for _, r := range slices.SortedFunc(maps.Keys(d.Held), Range.Compare) {
		writeEdit(&b, d.Held[r], func(struct{}) []string { return []string{heldLine(r)} })
	}
	for _, addr := range sortedAddrs(d.Known) {
		writeEdit(&b, d.Known[addr], func(struct{}) []string { return []string{knownLine(addr)} })
	}
	for _, addr := range sortedAddrs(d.Local) {
		writeEdit(&b, d.Local[addr], func(l Local) []string { return []string{localLine(addr, l)} })
	}
	for _, door := range slices.SortedFunc(maps.Keys(d.Hosts), Door.Compare) {
		writeEdit(&b, d.Hosts[door], func(h Host) []string { return []string{hostLine(door, h)} })
	}
	for _, prefix := range slices.SortedFunc(maps.Keys(d.Own), comparePrefixes) {
		writeEdit(&b, d.Own[prefix], func(struct{}) []string { return []string{"own " + prefix.String()} })
	}
	for _, to := range slices.SortedFunc(maps.Keys(d.Keep), netip.AddrPort.Compare) {
		writeEdit(&b, d.Keep[to], func(struct{}) []string { return []string{"keep " + to.String()} })
	}
	for _, id := range slices.Sorted(maps.Keys(d.Classes)) {
		d.Classes[id].write(&b, id)
	}
	for _, id := range slices.Sorted(maps.Keys(d.Filters)) {
		writeEdit(&b, d.Filters[id], func(f l7.Filter) []string { return filterLines(id, f) })
	}
	return b.String()
}

func writeEdit[V any](b *strings.Builder, e Edit[V], lines func(V) []string) {
	if e.Had {
		mark(b, "- ", lines(e.Old)...)
	}
	if e.Has {
		mark(b, "+ ", lines(e.New)...)
	}
}

func (e ClassEdit) write(b *strings.Builder, id ClassID) {
	switch {
	case e.Old == nil:
		mark(b, "+ ", classLine(id, e.New))
	case e.New == nil:
		mark(b, "- ", classLine(id, e.Old))
	case classLine(id, e.Old) == classLine(id, e.New):
		mark(b, "  ", classLine(id, e.New))
	default:
		mark(b, "- ", classLine(id, e.Old))
		mark(b, "+ ", classLine(id, e.New))
	}
	before, after := e.Old.policies(), e.New.policies()
	for _, name := range before {
		if !slices.Contains(after, name) {
			mark(b, "- ", policyLine(name))
		}
	}
	for _, name := range after {
		if !slices.Contains(before, name) {
			mark(b, "+ ", policyLine(name))
		}
	}
	if e.Old == nil || e.New == nil || !l7.SameKeys(e.Old.Learns, e.New.Learns) {
		markLearns(b, "- ", e.Old)
		markLearns(b, "+ ", e.New)
	}
	for _, row := range e.changedRows() {
		if line, had := e.oldLine(row); had {
			mark(b, "- ", line)
		}
		if v, has := e.New.rows()[row]; has {
			mark(b, "+ ", rowLine(row, v, e.New.Filters[row]))
		}
	}
}

// changedRows are the rows whose verdict or filter changed, sorted.
func (e ClassEdit) changedRows() []Row {
	rows := slices.AppendSeq(slices.Collect(maps.Keys(e.Rows)), maps.Keys(e.Filters))
	slices.SortFunc(rows, Row.Compare)
	return slices.Compact(rows)
}

// oldLine is a changed row as it was.
func (e ClassEdit) oldLine(row Row) (line string, had bool) {
	verdict, had := e.New.rows()[row]
	if edit, changed := e.Rows[row]; changed {
		verdict, had = edit.Old, edit.Had
	}
	filter := e.New.filters()[row]
	if edit, changed := e.Filters[row]; changed {
		filter = edit.Old
	}
	return rowLine(row, verdict, filter), had
}

func markLearns(b *strings.Builder, sign string, c *Class) {
	if c == nil {
		return
	}
	for _, s := range c.Learns {
		mark(b, sign, learnsLine(s))
	}
}

func (c *Class) policies() []string {
	if c == nil {
		return nil
	}
	return c.Policies
}

func mark(b *strings.Builder, sign string, lines ...string) {
	for _, l := range lines {
		line(b, sign+l)
	}
}
