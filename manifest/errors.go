package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing wrong with the input.
type Error struct {
	File    string // a path or "-"
	Line    int    // from 1; zero: the whole file
	Object  string // "Kind namespace/name"; empty: not one object's
	Field   string // the API path; empty: not one field's
	Message string // what is wrong and how to mend it

	ofPolicy bool // it leaves the cluster itself as it is
}

// Error is "file:line: Kind namespace/name: field: message", without what is
// unknown.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	for _, part := range []string{e.Object, e.Field, e.Message} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return strings.TrimPrefix(b.String(), ": ")
}

// Errors are all that is wrong with the input, by file and line. An error that
// Load returns is always of this type.
type Errors []*Error

// maxPrinted bounds the text; a file of the wrong kind can be wrong in every
// line.
const maxPrinted = 50

// Error is one line for each error, up to a limit.
func (e Errors) Error() string {
	var b strings.Builder
	for i, err := range e {
		if i == maxPrinted {
			fmt.Fprintf(&b, "\nand %d more", len(e)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap gives each error to errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, err := range e {
		all[i] = err
	}
	return all
}

// sorted is by file and line, without errors that say the same twice.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.CompactFunc(e, func(a, b *Error) bool { return *a == *b })
}
