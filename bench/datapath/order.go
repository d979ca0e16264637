package main

import (
	"cmp"
	"slices"
	"strings"
)

// families are the beginnings of variants' names, in the order of the table.
var families = []string{noneName, plainName, "bulkhead-", "iptables-"}

// variants are the names in the order none, conntrack, Bulkhead, others; within
// a family as they were made.
func (r *report) variants() []string {
	var names []string
	for _, x := range r.Results {
		if !slices.Contains(names, x.Variant) {
			names = append(names, x.Variant)
		}
	}
	slices.SortFunc(names, byFamily)
	return names
}

// byFamily compares numbers in names by their value, which their length decides
// first, and puts what all policies select after the family's others.
func byFamily(a, b string) int {
	return cmp.Or(
		cmp.Compare(family(a), family(b)),
		cmp.Compare(strings.Count(a, "-"), strings.Count(b, "-")),
		cmp.Compare(len(a), len(b)),
		cmp.Compare(a, b))
}

func family(name string) int {
	return slices.IndexFunc(families, func(f string) bool { return strings.HasPrefix(name, f) })
}
