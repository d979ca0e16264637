package l7

import (
	"fmt"
	"regexp"
	"strings"
)

// Request is what rules look at of an HTTP request.
type Request struct {
	Method string
	Path   string // as in the request line, with the query, after normalisation
	Host   string // without the port, in lower case
	// Header has a field's values under its name in lower case.
	Header map[string][]string
}

// HTTP is what a rule asks of a request; all of it must match, and the zero
// value matches every request. Make one with NewHTTP.
type HTTP struct {
	// Method, Path and Host are regular expressions that the whole value must
	// match; empty: any.
	Method, Path, Host string
	Headers            []Header

	method, path, host *regexp.Regexp
}

// Mismatch is what happens to a request without a header that a rule asks for.
type Mismatch uint8

// The choices, of which all but the first let the request pass. Cilium's
// headerMatches have them.
const (
	Refuse  Mismatch = iota // the rule does not match
	LogIt                   // pass, and note it
	Add                     // add the header
	Delete                  // delete the header's values that differ
	Replace                 // put the value in place of all others
)

var mismatches = [...]string{Refuse: "refuse", LogIt: "log", Add: "add", Delete: "delete", Replace: "replace"}

// String is the mismatch's name in lower case.
func (m Mismatch) String() string {
	if int(m) < len(mismatches) {
		return mismatches[m]
	}
	return fmt.Sprintf("Mismatch(%d)", uint8(m))
}

// Header is a header field that a request must have.
type Header struct {
	Name     string // in lower case
	Value    string
	AnyValue bool // the field must be there, whatever its value
	Mismatch Mismatch
}

// Edit is what a rule wants done to a request that it lets pass.
type Edit struct {
	Header Header // with Mismatch: what to do
}

// NewHTTP checks the expressions. The error names the field that is wrong.
func NewHTTP(h HTTP) (HTTP, error) {
	for _, e := range []struct {
		field, text string
		to          **regexp.Regexp
	}{{"method", h.Method, &h.method}, {"path", h.Path, &h.path}, {"host", h.Host, &h.host}} {
		if e.text == "" {
			continue
		}
		compiled, err := whole(e.text)
		if err != nil {
			return HTTP{}, fmt.Errorf("%s %q: %w", e.field, e.text, err)
		}
		*e.to = compiled
	}
	return h, nil
}

// whole is an expression that only matches a whole value. What a person wrote is
// checked by itself, so that no parenthesis of theirs can end ours.
func whole(text string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(text); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + text + `)\z`)
}

// Match tells whether the rule matches a request, and what it wants changed.
func (h *HTTP) Match(q *Request) ([]Edit, bool) {
	if !fits(h.method, q.Method) || !fits(h.path, q.Path) || !fits(h.host, q.Host) {
		return nil, false
	}
	var edits []Edit
	for _, header := range h.Headers {
		switch {
		case header.in(q):
		case header.Mismatch == Refuse:
			return nil, false
		default:
			edits = append(edits, Edit{header})
		}
	}
	return edits, true
}

func fits(e *regexp.Regexp, value string) bool { return e == nil || e.MatchString(value) }

// in tells whether a request has the header; of several fields of the name each
// must have the value, as a list that is joined would not be equal to it.
func (h Header) in(q *Request) bool {
	values := q.Header[h.Name]
	if h.AnyValue {
		return len(values) > 0
	}
	return len(values) == 1 && values[0] == h.Value
}

// String is canonical: `method GET path /products/.* header x-team "a"`, "any".
func (h HTTP) String() string {
	var words []string
	for _, w := range []struct{ name, value string }{{"method", h.Method}, {"path", h.Path}, {"host", h.Host}} {
		if w.value != "" {
			words = append(words, w.name+" "+w.value)
		}
	}
	for _, header := range h.Headers {
		words = append(words, header.String())
	}
	if len(words) == 0 {
		return "any"
	}
	return strings.Join(words, " ")
}

// String is `header x-team "a"`, "header x-team", `header x-team "a" or add`.
func (h Header) String() string {
	s := "header " + h.Name
	if !h.AnyValue {
		s += fmt.Sprintf(" %q", h.Value)
	}
	if h.Mismatch != Refuse {
		s += " or " + h.Mismatch.String()
	}
	return s
}
