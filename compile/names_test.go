package compile

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
)

type thing struct{ sum [sha256.Size]byte }

func (t *thing) digest() [sha256.Size]byte { return t.sum }

// few names have no more than 64 numbers to give.
func few() *names[uint32, *thing] {
	n := newNames[uint32, *thing]()
	n.number = short[uint32](63)
	return n
}

func TestNumbersDependOnWhatThereIsAlone(t *testing.T) {
	things := make([]*thing, 60)
	for i := range things {
		things[i] = &thing{sha256.Sum256(fmt.Append(nil, i))}
	}
	shared := 0
	for i := range 200 {
		r := gen.Source(*seed, i)
		n, now, told := few(), map[*thing]bool{}, map[*thing]uint32{}
		for range 120 {
			if x := things[r.IntN(len(things))]; now[x] {
				n.remove(x)
				delete(now, x)
				delete(told, x)
			} else {
				n.add(x)
				now[x] = true
			}
			if r.IntN(3) == 0 {
				maps.Copy(told, n.settle())
			}
		}
		maps.Copy(told, n.settle())
		fresh := few()
		for x := range now {
			fresh.add(x)
		}
		if want := fresh.settle(); !maps.Equal(told, want) || !maps.Equal(n.given, want) {
			t.Fatalf("round %d: the numbers told were %v, at once they would be %v", i, told, want)
		}
		used := slices.Sorted(maps.Values(told))
		if len(slices.Compact(used)) != len(now) || len(used) > 0 && used[0] == 0 {
			t.Fatalf("round %d: %d things have the numbers %v", i, len(now), used)
		}
		shared += len(n.crowded)
	}
	if shared == 0 {
		t.Error("no two things ever wanted one number")
	}
}

func TestANumberThatNobodyElseWantsStays(t *testing.T) {
	n := newNames[uint32, *thing]()
	a, b := &thing{sha256.Sum256([]byte("a"))}, &thing{sha256.Sum256([]byte("b"))}
	n.add(a)
	before := n.settle()[a]
	n.add(b)
	if changed := n.settle(); len(changed) != 1 || n.given[a] != before || changed[b] == 0 {
		t.Errorf("a new thing changes %v", changed)
	}
	n.remove(b)
	if changed := n.settle(); len(changed) != 0 || n.given[a] != before {
		t.Errorf("a thing that goes changes %v", changed)
	}
}
