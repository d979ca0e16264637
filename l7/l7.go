// Package l7 is what policies ask of the content of a connection: of an HTTP
// request its method, path, host and headers, of a DNS query the name that is
// asked for. A Filter is what one port of a connection may carry.
//
// The values are made by constructors that check what a person wrote, never
// change afterwards and may be used by several goroutines. Regular expressions
// are RE2: they take time linear in what they look at. The package is a leaf and
// does no I/O.
package l7

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FilterID stands for a filter by its content. Zero: none.
type FilterID uint64

// String is sixteen hexadecimal digits.
func (id FilterID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Rule is what one rule of a policy asks of the content. One of HTTP and DNS is
// set.
type Rule struct {
	By   string // the policy and the rule, for people
	HTTP []HTTP // a request must match one
	DNS  []Name // a name that is asked for must match one
}

// Filter says what a connection may carry. It lets pass what one of Rules or of
// Any does, and what all of All do if there are any. The zero value lets nothing
// pass.
type Filter struct {
	Rules []Rule
	Any   []Filter
	All   []Filter
	shown []string // instead of all that: only the text is known
}

// Shown is a filter of which only the lines are known, as Lines gives them. It
// lets nothing pass.
func Shown(lines []string) Filter { return Filter{shown: lines} }

// ParseFilterID reads what FilterID.String writes.
func ParseFilterID(s string) (FilterID, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || n == 0 {
		return 0, fmt.Errorf("filter %q: want sixteen hexadecimal digits, not all zero", s)
	}
	return FilterID(n), nil
}

// Either lets pass what one of the filters does.
func Either(filters ...Filter) Filter {
	var f Filter
	for _, o := range filters {
		f.Rules = append(f.Rules, o.Rules...)
		f.Any = append(f.Any, o.Any...)
		if len(o.All) > 0 {
			f.Any = append(f.Any, Filter{All: o.All})
		}
	}
	return f.tidy()
}

// Both lets pass what both filters do.
func Both(a, b Filter) Filter {
	if a.text() == b.text() {
		return a
	}
	return Filter{All: []Filter{a, b}}.tidy()
}

// tidy sorts a filter's parts and drops what is there twice.
func (f Filter) tidy() Filter {
	f.Rules = unique(f.Rules, Rule.String)
	f.Any = unique(f.Any, Filter.text)
	f.All = unique(f.All, Filter.text)
	return f
}

func unique[T any](list []T, text func(T) string) []T {
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(text(a), text(b)) })
	return slices.CompactFunc(list, func(a, b T) bool { return text(a) == text(b) })
}

// ID is a hash of the filter's text; equal filters have equal ones.
func (f Filter) ID() FilterID {
	sum := sha256.Sum256([]byte(f.text()))
	return FilterID(max(1, binary.BigEndian.Uint64(sum[:8])))
}

// Lines are the filter for people and canonical, one rule a line; what must
// match all together is indented below a line that says so.
func (f Filter) Lines() []string {
	lines := slices.Clone(f.shown)
	for _, r := range f.Rules {
		lines = append(lines, r.String())
	}
	for _, o := range f.Any {
		lines = append(lines, o.Lines()...)
	}
	for i, o := range f.All {
		lines = append(lines, [...]string{"all of", "and of"}[min(i, 1)])
		for _, l := range o.Lines() {
			lines = append(lines, "  "+l)
		}
	}
	if len(lines) == 0 {
		return []string{"nothing"}
	}
	return lines
}

func (f Filter) text() string { return strings.Join(f.Lines(), "\n") }

// String is "shop/backend rule 0: http method GET path /products/.*" or
// "shop/backend rule 1: dns api.github.com".
func (r Rule) String() string {
	var words []string
	for _, h := range r.HTTP {
		words = append(words, "http "+h.String())
	}
	for _, n := range r.DNS {
		words = append(words, "dns "+n.String())
	}
	return r.By + ": " + strings.Join(words, " | ")
}

// Request asks whether a request may pass. The rule is one that lets it, the
// edits are what that rule wants changed.
func (f Filter) Request(q *Request) (by string, edits []Edit, ok bool) {
	for _, r := range f.Rules {
		for i := range r.HTTP {
			if edits, ok := r.HTTP[i].Match(q); ok {
				return r.By, edits, true
			}
		}
	}
	return f.parts(func(f Filter) (string, []Edit, bool) { return f.Request(q) })
}

// Name asks whether a name may be asked for, in any case and with or without the
// root's dot. The rule is one that lets it.
func (f Filter) Name(name string) (by string, ok bool) {
	for _, r := range f.Rules {
		if slices.ContainsFunc(r.DNS, func(n Name) bool { return n.Match(name) }) {
			return r.By, true
		}
	}
	by, _, ok = f.parts(func(f Filter) (string, []Edit, bool) {
		by, ok := f.Name(name)
		return by, nil, ok
	})
	return by, ok
}

func (f Filter) parts(ask func(Filter) (string, []Edit, bool)) (by string, edits []Edit, ok bool) {
	for _, o := range f.Any {
		if by, edits, ok := ask(o); ok {
			return by, edits, ok
		}
	}
	var all []string
	for _, o := range f.All {
		by, more, ok := ask(o)
		if !ok {
			return "", nil, false
		}
		all, edits = append(all, by), append(edits, more...)
	}
	return strings.Join(all, " and "), edits, len(f.All) > 0
}

// Empty tells whether the filter lets nothing pass.
func (f Filter) Empty() bool { return len(f.Rules)+len(f.Any)+len(f.All) == 0 }
