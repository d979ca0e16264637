package cilium

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
)

// shrink takes away from objects what is not needed for them to be interesting.
func shrink(objects *gen.CiliumObjects, interesting func(*gen.CiliumObjects) bool) *gen.CiliumObjects {
	for {
		smaller := func() *gen.CiliumObjects {
			for n := 0; ; n++ {
				less, ok := without(objects, n)
				if !ok {
					return nil
				}
				if less != nil && interesting(less) {
					return less
				}
			}
		}()
		if smaller == nil {
			return objects
		}
		objects = smaller
	}
}

// without are the objects but for the n-th of their parts; nil if they make no
// sense so, not ok if there is no such part.
func without(objects *gen.CiliumObjects, n int) (less *gen.CiliumObjects, ok bool) {
	var tree any
	if err := convert(objects, &tree); err != nil {
		panic(err) // it was written by ourselves
	}
	tree, n = drop(tree, n)
	if n >= 0 {
		return nil, false
	}
	text, err := json.Marshal(tree)
	if err != nil {
		panic(err)
	}
	less = &gen.CiliumObjects{}
	if json.Unmarshal(text, less) != nil || size(less) >= size(objects) {
		return nil, true // what was taken away comes back by itself
	}
	return less, true
}

func size(objects *gen.CiliumObjects) int {
	text, err := json.Marshal(objects)
	if err != nil {
		panic(err)
	}
	return len(text)
}

// drop takes the n-th item or field out of a tree, and returns what is left of n:
// negative once it is done.
func drop(tree any, n int) (any, int) {
	switch t := tree.(type) {
	case []any:
		for i := range t {
			if n--; n < 0 {
				return slices.Delete(t, i, i+1), n
			}
			if t[i], n = drop(t[i], n); n < 0 {
				return t, n
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(t)) {
			if n--; n < 0 {
				delete(t, key)
				return t, n
			}
			if t[key], n = drop(t[key], n); n < 0 {
				return t, n
			}
		}
	}
	return tree, n
}
