package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Text is the plan's canonical form: equal plans have equal texts, and Parse
// reads it back. One entry a line, sorted, what belongs to an entry indented
// below it:
//
//	plan node-a
//	peer 5b0c1c7e
//	  net 10.0.0.0/8
//	  pods namespace=shop {app=web}
//	wider 5b0c1c7e 1f2e3d4c
//	address 10.0.0.7 5b0c1c7e
//	range 10.0.0.0-10.255.255.255 1f2e3d4c
//	held 10.0.0.0-10.0.0.255
//	known 10.0.0.9
//	local 10.0.0.9 egress 00000000 ingress 3b4c5d6e
//	host eth0 any input 5c6d7e8f output 6d7e8f90
//	own 10.0.0.0/24
//	keep 10.96.0.1:443
//	class 3b4c5d6e ingress default deny
//	  policy shop/backend
//	  allow peer 5b0c1c7e TCP 8080
//	  http peer 1f2e3d4c TCP 8080 filter 3c1f5e7a9b2d4c60
//	filter 3c1f5e7a9b2d4c60
//	  shop/backend ingress rule 1: http method GET
func Text(p *Plan) string {
	var b strings.Builder
	line(&b, "plan "+phrase(p.Node))
	for _, id := range slices.Sorted(maps.Keys(p.Peers)) {
		line(&b, peerLines(id, p.Peers[id])...)
	}
	for _, id := range slices.Sorted(maps.Keys(p.Wider)) {
		line(&b, widerLine(id, p.Wider[id]))
	}
	for _, addr := range sortedAddrs(p.Addrs) {
		line(&b, addrLine(addr, p.Addrs[addr]))
	}
	for _, r := range slices.SortedFunc(maps.Keys(p.Ranges), Range.Compare) {
		line(&b, rangeLine(r, p.Ranges[r]))
	}
	for _, r := range slices.SortedFunc(maps.Keys(p.Held), Range.Compare) {
		line(&b, heldLine(r))
	}
	for _, addr := range sortedAddrs(p.Known) {
		line(&b, knownLine(addr))
	}
	for _, addr := range sortedAddrs(p.Local) {
		line(&b, localLine(addr, p.Local[addr]))
	}
	line(&b, p.hostLines()...)
	for _, id := range slices.Sorted(maps.Keys(p.Classes)) {
		line(&b, classLines(id, p.Classes[id])...)
	}
	for _, id := range slices.Sorted(maps.Keys(p.Filters)) {
		line(&b, filterLines(id, p.Filters[id])...)
	}
	return b.String()
}

func line(b *strings.Builder, lines ...string) {
	for _, l := range lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
}

func peerLines(id PeerID, matchers []string) []string {
	lines := []string{"peer " + id.String()}
	for _, m := range matchers {
		lines = append(lines, "  "+phrase(m))
	}
	return lines
}

func widerLine(id, wider PeerID) string { return "wider " + id.String() + " " + wider.String() }

func addrLine(addr netip.Addr, id PeerID) string {
	return "address " + addr.String() + " " + id.String()
}

func rangeLine(r Range, id PeerID) string { return "range " + r.String() + " " + id.String() }

func heldLine(r Range) string { return "held " + r.String() }

func knownLine(addr netip.Addr) string { return "known " + addr.String() }

func localLine(addr netip.Addr, l Local) string {
	return fmt.Sprintf("local %s egress %s ingress %s", addr, l.Egress, l.Ingress)
}

func classLine(id ClassID, c *Class) string {
	line := fmt.Sprintf("class %s %s default %s", id, c.Direction, c.Default)
	if c.Audit {
		line += " audit"
	}
	if c.Grants {
		line += " grants"
	}
	return line
}

func policyLine(name string) string { return "  policy " + phrase(name) }

func learnsLine(s l7.Selector) string { return "  learns " + phrase(s.Key) }

func rowLine(row Row, verdict traffic.Verdict, filter l7.FilterID) string {
	line := "  " + verdict.String() + " " + row.String()
	if filter != 0 {
		line += " filter " + filter.String()
	}
	return line
}

func filterLines(id l7.FilterID, f l7.Filter) []string {
	lines := []string{"filter " + id.String()}
	for _, l := range f.Lines() {
		lines = append(lines, "  "+phrase(l))
	}
	return lines
}

func classLines(id ClassID, c *Class) []string {
	lines := []string{classLine(id, c)}
	for _, name := range c.Policies {
		lines = append(lines, policyLine(name))
	}
	for _, s := range c.Learns {
		lines = append(lines, learnsLine(s))
	}
	for _, row := range slices.SortedFunc(maps.Keys(c.Rows), Row.Compare) {
		lines = append(lines, rowLine(row, c.Rows[row], c.Filters[row]))
	}
	return lines
}

func sortedAddrs[V any](m map[netip.Addr]V) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}

// phrase is text for the rest of a line, quoted where it would not come back as
// it was.
func phrase(s string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }
	if s == "" || s[0] == '"' || strings.TrimSpace(s) != s || strings.ContainsFunc(s, odd) {
		return strconv.Quote(s)
	}
	return s
}

// Compare orders ranges by their first address, IPv4 first.
func (r Range) Compare(o Range) int {
	return cmp.Or(r.First.Compare(o.First), r.Last.Compare(o.Last))
}

// Compare orders rows by peer, those for any peer last, then protocol and port.
func (r Row) Compare(o Row) int {
	if r.AnyPeer != o.AnyPeer {
		if r.AnyPeer {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(r.Peer, o.Peer), cmp.Compare(r.Protocol, o.Protocol),
		cmp.Compare(r.From, o.From), cmp.Compare(r.To, o.To))
}
