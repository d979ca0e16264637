package compile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// names gives short numbers to things that are known by a long digest, so that
// the numbers are a function of the set of things: each gets the head of its
// digest, and of those that share a head all but the smallest are given the
// first free number out of a sequence of their own. Zero is never given.
//
// A collision of 32 bits is to be expected at ten thousand groups once in a
// hundred nodes, and may be made on purpose.
type names[K ~uint32, T interface {
	comparable
	digest() [sha256.Size]byte
}] struct {
	// first has what has a number as its head, smallest digest first; all but
	// the first of each have another number.
	first   map[K][]T
	crowded map[K]struct{} // with more than one, or zero
	given   map[T]K
	fresh   map[T]struct{} // added since the last settle
	// number is the n-th choice for a digest; tests make it narrow.
	number func(sum [sha256.Size]byte, n uint32) K
}

func newNames[K ~uint32, T interface {
	comparable
	digest() [sha256.Size]byte
}]() *names[K, T] {
	return &names[K, T]{
		first: map[K][]T{}, crowded: map[K]struct{}{}, given: map[T]K{}, fresh: map[T]struct{}{},
		number: number[K],
	}
}

func number[K ~uint32](sum [sha256.Size]byte, n uint32) K {
	if n > 0 {
		sum = sha256.Sum256(binary.BigEndian.AppendUint32(sum[:], n))
	}
	return K(binary.BigEndian.Uint32(sum[4:]))
}

func (n *names[K, T]) add(item T) {
	k := n.number(item.digest(), 0)
	items := n.first[k]
	at, _ := slices.BinarySearchFunc(items, item, n.compare)
	n.first[k] = slices.Insert(items, at, item)
	n.mark(k)
	n.fresh[item] = struct{}{}
}

func (n *names[K, T]) remove(item T) {
	k := n.number(item.digest(), 0)
	n.first[k] = slices.DeleteFunc(n.first[k], func(o T) bool { return o == item })
	if len(n.first[k]) == 0 {
		delete(n.first, k)
	} else {
		n.fresh[n.first[k][0]] = struct{}{} // its turn, perhaps
	}
	n.mark(k)
	delete(n.fresh, item)
	delete(n.given, item)
}

func (n *names[K, T]) mark(k K) {
	if len(n.first[k]) > 1 || k == 0 && len(n.first[k]) == 1 {
		n.crowded[k] = struct{}{}
	} else {
		delete(n.crowded, k)
	}
}

func (n *names[K, T]) compare(a, b T) int {
	x, y := a.digest(), b.digest()
	return bytes.Compare(x[:], y[:])
}

// settle gives numbers to what was added, and returns all whose number is new or
// another than before.
func (n *names[K, T]) settle() map[T]K {
	changed := map[T]K{}
	give := func(item T, k K) {
		if old, ok := n.given[item]; !ok || old != k {
			n.given[item] = k
			changed[item] = k
		}
	}
	losers := n.losers()
	for item := range n.fresh {
		if _, found := slices.BinarySearchFunc(losers, item, n.compare); !found {
			give(item, n.number(item.digest(), 0))
		}
	}
	taken := map[K]struct{}{0: {}}
	for _, item := range losers {
		k := n.free(item, taken)
		taken[k] = struct{}{}
		give(item, k)
	}
	clear(n.fresh)
	return changed
}

// losers are the items that cannot have their head, by digest.
func (n *names[K, T]) losers() []T {
	var losers []T
	for k := range n.crowded {
		items := n.first[k]
		if k != 0 {
			n.fresh[items[0]] = struct{}{}
			items = items[1:]
		}
		losers = append(losers, items...)
	}
	slices.SortFunc(losers, n.compare)
	return losers
}

func (n *names[K, T]) free(item T, taken map[K]struct{}) K {
	for i := uint32(1); ; i++ {
		k := n.number(item.digest(), i)
		_, isHead := n.first[k]
		if _, isTaken := taken[k]; !isHead && !isTaken {
			return k
		}
	}
}
