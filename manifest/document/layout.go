package document

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// layout is what a struct looks like in JSON.
type layout struct {
	fields map[string][]int // index path by name, inlined structs included
	names  []string         // sorted
}

var layouts sync.Map // reflect.Type -> *layout

func layoutOf(t reflect.Type) *layout {
	if l, ok := layouts.Load(t); ok {
		return l.(*layout)
	}
	l := &layout{fields: map[string][]int{}}
	l.add(t, nil)
	for name := range l.fields {
		l.names = append(l.names, name)
	}
	slices.Sort(l.names)
	layouts.Store(t, l)
	return l
}

func (l *layout) add(t reflect.Type, index []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(slices.Clone(index), i)
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case name == "" && f.Anonymous:
			l.add(f.Type, at)
		case name != "":
			l.fields[name] = at
		}
	}
}

// suggest is advice for a name that the struct does not have: a name that it has
// and that looks alike, or the struct above it that has the name.
func suggest(name string, t reflect.Type, at *place) string {
	if near := Nearest(name, layoutOf(t).names); near != "" {
		return ": did you mean " + near + "?"
	}
	for p := at; p != nil; p = p.parent {
		if p.typ == nil {
			continue
		}
		if _, ok := layoutOf(p.typ).fields[name]; ok {
			if p.parent == nil {
				return ": it belongs to the top of the object, check the indentation"
			}
			return ": it belongs to " + p.parent.String() + ", check the indentation and the dashes"
		}
	}
	return ": remove it, known here are " + strings.Join(layoutOf(t).names, ", ")
}

// Nearest is the one of the names that somebody who wrote the word most likely
// meant; empty if none is near.
func Nearest(word string, names []string) string {
	best, bestDistance := "", len(word)/3+2
	for _, name := range names {
		if strings.EqualFold(name, word) {
			return name
		}
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is how many letters must be changed, added or removed to turn one
// word into the other. Words whose lengths differ much are not compared.
func distance(a, b string) int {
	if len(a) > 64 || len(a) > 2*len(b) || len(b) > 2*len(a) {
		return len(a) + len(b)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
