package agent

import (
	"cmp"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// origin is the object where something was read.
type origin struct {
	kind int // the kind's number; those of a preferred API come first
	cluster.Name
}

func (o origin) compare(p origin) int {
	return cmp.Or(cmp.Compare(o.kind, p.kind), cmp.Compare(o.Namespace, p.Namespace), cmp.Compare(o.Name.Name, p.Name.Name))
}

// claims are what several objects may say of one thing: Calico stores a policy in
// one API group that another one serves, under another name. The first object's
// word counts.
type claims[K comparable, V any] map[K][]claim[V]

type claim[V any] struct {
	origin
	value *V
}

// set is what an object says of a thing; nil: nothing any more.
func (c claims[K, V]) set(from origin, key K, value *V) {
	all := c[key]
	i, found := slices.BinarySearchFunc(all, from, func(a claim[V], b origin) int { return a.compare(b) })
	switch {
	case found && value == nil:
		all = slices.Delete(slices.Clone(all), i, i+1)
	case found:
		all[i].value = value
	case value != nil:
		all = slices.Insert(all, i, claim[V]{from, value})
	}
	if len(all) == 0 {
		delete(c, key)
	} else {
		c[key] = all
	}
}

// first is what counts, nil if nobody says anything.
func (c claims[K, V]) first(key K) *V {
	if len(c[key]) == 0 {
		return nil
	}
	return c[key][0].value
}

// replace changes what an object says, and adds to changes what counts now of all
// that it said and says; nil stands for what is gone.
func replace[K comparable, V any](changes *map[K]*V, c claims[K, V], from origin, before, after []*V, key func(*V) K) {
	if len(before)+len(after) == 0 {
		return
	}
	if *changes == nil {
		*changes = map[K]*V{}
	}
	for _, v := range before {
		c.set(from, key(v), nil)
	}
	for _, v := range after {
		c.set(from, key(v), v)
	}
	for _, list := range [][]*V{before, after} {
		for _, v := range list {
			(*changes)[key(v)] = c.first(key(v))
		}
	}
}
