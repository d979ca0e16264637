// Package document parses YAML and JSON into trees that know their lines, and
// decodes such trees into Go structs with an error for every field that does
// not fit.
//
// YAML is understood as kubectl understands it: version 1.1 with its booleans
// (yes, no, on, off), every document of a file on its own, keys always strings.
// What the Kubernetes API would refuse or read by chance is an error here: a key
// given twice, keys that are not plain values, text that is not UTF-8. The size
// of a tree is bounded by the size of its text and a constant, whatever its
// aliases.
//
// A Node is never changed after parsing; trees may share parts. The package does
// no I/O and keeps no state but a cache of struct layouts, so all of it may be
// used by several goroutines.
package document

import (
	"slices"
	"strconv"
)

// Kind is what a node is. Its zero value is Null.
type Kind uint8

// The kinds, those of JSON.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Map
)

// Node is a value in a document.
type Node struct {
	Kind Kind
	Line int // from 1
	// Value is a scalar's value as JSON has it, without a string's quotes.
	Value  string
	Text   string   // as written, if that differs from Value
	Items  []*Node  // of a List
	Fields []*Field // of a Map, in the order of the text, names unique
	// nodes counts this node and all below it, shared ones as often as they
	// are used; depth is how many lie on the longest way down.
	nodes, depth int
}

// Field is one entry of a Map.
type Field struct {
	Name  string
	Line  int // of the name
	Value *Node
}

// Problem is something wrong at a place of a document.
type Problem struct {
	Line    int
	Path    string // as in the Kubernetes API: spec.ingress[0].from; empty: the document
	Message string
}

// String describes the node for people: "the number 80", "a list".
func (n *Node) String() string {
	written := n.Text
	if written == "" {
		written = n.Value
	}
	if len(written) > 60 {
		written = written[:60] + "…"
	}
	switch n.Kind {
	case Bool:
		return "the boolean " + written
	case Number:
		return "the number " + written
	case String:
		return "the string " + strconv.Quote(written)
	case List:
		return "a list"
	case Map:
		return "a map"
	}
	return "null"
}

// Get is the field of a Map, nil if there is none.
func (n *Node) Get(name string) *Node {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// StringAt is the value of a Map's field that is a string, else empty.
func (n *Node) StringAt(name string) string {
	if v := n.Get(name); v != nil && v.Kind == String {
		return v.Value
	}
	return ""
}

// Without is the Map less a field.
func (n *Node) Without(name string) *Node {
	if n.Get(name) == nil {
		return n
	}
	less := *n
	less.Fields = slices.DeleteFunc(slices.Clone(n.Fields), func(f *Field) bool { return f.Name == name })
	return &less
}
