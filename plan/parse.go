package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Parse reads what Text writes. Lines may come in any order as long as what is
// indented stands below its entry; empty lines and lines that start with # are
// skipped. An error names its line.
func Parse(text string) (*Plan, error) {
	r := &reader{plan: New("")}
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(l)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if err := r.line(strings.TrimRight(l, " \t\r")); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	if !r.started {
		return nil, fmt.Errorf("line 1: not a plan: the first line is \"plan NODE\"")
	}
	if err := r.plan.check(); err != nil {
		return nil, err
	}
	return r.plan, nil
}

// reader is the state of Parse: the entry that indented lines belong to.
type reader struct {
	plan    *Plan
	started bool
	below   func(string) error // nil: nothing may be indented here
}

func (r *reader) line(l string) error {
	if l[0] == ' ' || l[0] == '\t' {
		if r.below == nil {
			return fmt.Errorf("%q is indented, but the line above has nothing below it", strings.TrimSpace(l))
		}
		return r.below(strings.TrimSpace(l))
	}
	word, rest, _ := strings.Cut(l, " ")
	if !r.started && word != "plan" {
		return fmt.Errorf("not a plan: %q stands where \"plan NODE\" must", word)
	}
	entries := map[string]func(string) error{
		"plan": r.head, "peer": r.peer, "wider": r.wider, "address": r.addr,
		"range": r.rng, "held": r.held, "known": r.known, "local": r.local,
		"host": r.host, "own": r.own, "keep": r.keep, "class": r.class, "filter": r.filter,
	}
	entry, ok := entries[word]
	if !ok {
		return fmt.Errorf("unknown entry %q: use peer, wider, address, range, held, known, local, host, own, keep, class or filter", word)
	}
	r.below = nil
	return entry(rest)
}

func (r *reader) head(rest string) (err error) {
	if r.started {
		return fmt.Errorf("a second plan: one text holds one plan")
	}
	r.started = true
	r.plan.Node, err = unphrase(rest)
	return err
}

func (r *reader) peer(rest string) error {
	id, err := parsePeer(rest)
	if err != nil {
		return err
	}
	r.below = func(matcher string) error {
		m, err := unphrase(matcher)
		r.plan.Peers[id] = append(r.plan.Peers[id], m)
		return err
	}
	return put(r.plan.Peers, "peer", id, nil)
}

func (r *reader) wider(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 2 {
		return fmt.Errorf("want \"wider GROUP GROUP\"")
	}
	id, err := parsePeer(f[0])
	if err != nil {
		return err
	}
	wider, err := parsePeer(f[1])
	if err != nil {
		return err
	}
	return put(r.plan.Wider, "wider", id, wider)
}

func (r *reader) addr(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 2 {
		return fmt.Errorf("want \"address ADDRESS GROUP\"")
	}
	addr, err := netip.ParseAddr(f[0])
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	id, err := parsePeer(f[1])
	if err != nil {
		return err
	}
	return put(r.plan.Addrs, "address", addr, id)
}

func (r *reader) rng(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 2 {
		return fmt.Errorf("want \"range FIRST-LAST GROUP\"")
	}
	rng, err := parseRange(f[0])
	if err != nil {
		return err
	}
	id, err := parsePeer(f[1])
	if err != nil {
		return err
	}
	return put(r.plan.Ranges, "range", rng, id)
}

func (r *reader) held(rest string) error {
	rng, err := parseRange(rest)
	if err != nil {
		return err
	}
	return put(r.plan.Held, "held", rng, struct{}{})
}

func (r *reader) known(rest string) error {
	addr, err := netip.ParseAddr(rest)
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	return put(r.plan.Known, "known", addr, struct{}{})
}

func (r *reader) local(rest string) error {
	f := strings.Fields(rest)
	if len(f) != 5 || f[1] != "egress" || f[3] != "ingress" {
		return fmt.Errorf("want \"local ADDRESS egress CLASS ingress CLASS\"")
	}
	addr, err := netip.ParseAddr(f[0])
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	var l Local
	if l.Egress, err = parseClass(f[2]); err != nil {
		return err
	}
	if l.Ingress, err = parseClass(f[4]); err != nil {
		return err
	}
	return put(r.plan.Local, "local", addr, l)
}

func (r *reader) host(rest string) error {
	d, h, err := ParseHost(rest)
	if err != nil {
		return err
	}
	return put(r.plan.Hosts, "host", d, h)
}

func (r *reader) own(rest string) error {
	prefix, err := netip.ParsePrefix(rest)
	if err != nil {
		return fmt.Errorf("parse own addresses: %w", err)
	}
	return put(r.plan.Own, "own", prefix, struct{}{})
}

func (r *reader) keep(rest string) error {
	to, err := netip.ParseAddrPort(rest)
	if err != nil {
		return fmt.Errorf("parse what to keep: %w", err)
	}
	return put(r.plan.Keep, "keep", to, struct{}{})
}

func (r *reader) class(rest string) error {
	f := strings.Fields(rest)
	special := len(f) == 5 && (f[4] == "audit" || f[4] == "grants")
	if !special && len(f) != 4 || f[2] != "default" {
		return fmt.Errorf("want \"class CLASS egress|ingress default allow|deny [audit|grants]\"")
	}
	id, err := parseClass(f[0])
	if err != nil {
		return err
	}
	if id == 0 {
		return fmt.Errorf("class %s stands for no policy and cannot have rows", id)
	}
	class := &Class{
		Rows: map[Row]traffic.Verdict{}, Filters: map[Row]l7.FilterID{},
		Audit: special && f[4] == "audit", Grants: special && f[4] == "grants",
	}
	switch f[1] {
	case traffic.Ingress.String():
		class.Direction = traffic.Ingress
	case traffic.Egress.String():
		class.Direction = traffic.Egress
	default:
		return fmt.Errorf("unknown direction %q: use egress or ingress", f[1])
	}
	if err := class.Default.UnmarshalText([]byte(f[3])); err != nil {
		return err
	}
	r.below = class.parseLine
	return put(r.plan.Classes, "class", id, class)
}

// parseLine reads a line below a class: a policy's name or a row.
func (c *Class) parseLine(l string) error {
	word, rest, _ := strings.Cut(l, " ")
	if word == "policy" {
		name, err := unphrase(rest)
		c.Policies = append(c.Policies, name)
		return err
	}
	if word == "learns" {
		key, err := unphrase(rest)
		c.Learns = append(c.Learns, l7.Selector{Key: key})
		return err
	}
	var verdict traffic.Verdict
	if err := verdict.UnmarshalText([]byte(word)); err != nil {
		return fmt.Errorf("unknown line %q below a class: use policy, learns, allow, deny, http or dns", word)
	}
	fields := strings.Fields(rest)
	var filter l7.FilterID
	if n := len(fields) - 2; n >= 0 && fields[n] == "filter" {
		var err error
		if filter, err = l7.ParseFilterID(fields[n+1]); err != nil {
			return err
		}
		fields = fields[:n]
	}
	row, err := parseRow(fields)
	if err != nil {
		return err
	}
	if filter != 0 {
		c.Filters[row] = filter
	}
	return put(c.Rows, "row", row, verdict)
}

func (r *reader) filter(rest string) error {
	id, err := l7.ParseFilterID(rest)
	if err != nil {
		return err
	}
	var lines []string
	r.below = func(l string) error {
		l, err := unphrase(l)
		lines = append(lines, l)
		r.plan.Filters[id] = l7.Shown(lines)
		return err
	}
	return put(r.plan.Filters, "filter", id, l7.Filter{})
}

func parseRow(f []string) (Row, error) {
	var row Row
	var err error
	switch {
	case len(f) > 0 && f[0] == "any":
		row.AnyPeer, f = true, f[1:]
	case len(f) > 1 && f[0] == "peer":
		if row.Peer, err = parsePeer(f[1]); err != nil {
			return Row{}, err
		}
		f = f[2:]
	default:
		return Row{}, fmt.Errorf("a row starts with \"any\" or \"peer GROUP\"")
	}
	if len(f) == 0 {
		return row, nil
	}
	if row.Protocol, err = traffic.ParseProtocol(f[0]); err != nil {
		return Row{}, err
	}
	row.To = 65535
	switch len(f) {
	case 1:
		return row, nil
	case 2:
		row.From, row.To, err = parsePorts(f[1])
		return row, err
	}
	return Row{}, fmt.Errorf("unexpected %q behind the ports", f[2])
}

func parsePorts(s string) (from, to uint16, err error) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil || a > b {
		return 0, 0, fmt.Errorf("ports %q: want a number from 0 to 65535, or FIRST-LAST", s)
	}
	return uint16(a), uint16(b), nil
}

func parseRange(s string) (Range, error) {
	first, last, _ := strings.Cut(s, "-")
	a, err := netip.ParseAddr(first)
	if err != nil {
		return Range{}, fmt.Errorf("parse first address of range: %w", err)
	}
	b, err := netip.ParseAddr(last)
	if err != nil {
		return Range{}, fmt.Errorf("parse last address of range: %w", err)
	}
	if a.BitLen() != b.BitLen() || b.Less(a) {
		return Range{}, fmt.Errorf("range %q does not go from a lower to a higher address of one family", s)
	}
	return Range{a, b}, nil
}

func parsePeer(s string) (PeerID, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 || n == 0 {
		return 0, fmt.Errorf("peer group %q: want eight hexadecimal digits, not all zero", s)
	}
	return PeerID(n), nil
}

func parseClass(s string) (ClassID, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 {
		return 0, fmt.Errorf("class %q: want eight hexadecimal digits", s)
	}
	return ClassID(n), nil
}

func unphrase(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	unquoted, err := strconv.Unquote(s)
	if err != nil {
		return "", fmt.Errorf("%s is not a quoted string", s)
	}
	return unquoted, nil
}

func put[K comparable, V any](m map[K]V, what string, k K, v V) error {
	if _, ok := m[k]; ok {
		return fmt.Errorf("%s %v stands here a second time", what, k)
	}
	m[k] = v
	return nil
}

// check finds what no single line shows: names that stand for nothing, and
// entries that overlap.
func (p *Plan) check() error {
	for _, addr := range sortedAddrs(p.Local) {
		for _, id := range []ClassID{p.Local[addr].Egress, p.Local[addr].Ingress} {
			if _, ok := p.Classes[id]; id != 0 && !ok {
				return fmt.Errorf("local %s is of class %s, which the plan does not have", addr, id)
			}
		}
	}
	if err := p.checkHosts(); err != nil {
		return err
	}
	if err := checkOverlap("ranges", p.Ranges); err != nil {
		return err
	}
	if err := checkOverlap("held ranges", p.Held); err != nil {
		return err
	}
	for id, class := range p.Classes {
		for row, filter := range class.Filters {
			if _, ok := p.Filters[filter]; !ok || !class.Rows[row].Inspects() {
				return fmt.Errorf("class %s: row %q names filter %s, which the plan does not have or the row does not need", id, row, filter)
			}
		}
		rows := slices.SortedFunc(maps.Keys(class.Rows), Row.Compare)
		for i := 1; i < len(rows); i++ {
			a, b := rows[i-1], rows[i]
			if a.AnyPeer == b.AnyPeer && a.Peer == b.Peer && a.Protocol == b.Protocol && b.From <= a.To {
				return fmt.Errorf("class %s: rows \"%s\" and \"%s\" overlap", id, a, b)
			}
		}
	}
	return nil
}

func checkOverlap[V any](what string, ranges map[Range]V) error {
	sorted := slices.SortedFunc(maps.Keys(ranges), Range.Compare)
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].Contains(sorted[i].First) {
			return fmt.Errorf("%s %s and %s overlap", what, sorted[i-1], sorted[i])
		}
	}
	return nil
}
