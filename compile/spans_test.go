package compile

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/gen"
)

// ends are where ports are tried: at both ends of the range, where sums overflow.
var ends = slices.Concat(numbers(0, 15), numbers(lastPort-15, lastPort))

func numbers(from, to int) (all []uint16) {
	for n := from; n <= to; n++ {
		all = append(all, uint16(n))
	}
	return all
}

func randomSpans(r *rand.Rand) spans {
	var s spans
	for range r.IntN(5) {
		a, b := ends[r.IntN(len(ends))], ends[r.IntN(len(ends))]
		s = s.union(spans{{min(a, b), max(a, b)}})
	}
	return s
}

func (s spans) has(port uint16) bool {
	return slices.ContainsFunc(s, func(p span) bool { return p.from <= port && port <= p.to })
}

// sound tells whether the spans are in the one form that a set of ports has.
func (s spans) sound() bool {
	for i, p := range s {
		if p.from > p.to || i > 0 && int(p.from) <= int(s[i-1].to)+1 {
			return false
		}
	}
	return true
}

func TestSpansAreSetsOfPorts(t *testing.T) {
	for i := range 2000 {
		r := gen.Source(*seed, i)
		a, b := randomSpans(r), randomSpans(r)
		for name, result := range map[string]struct {
			is   spans
			want func(inA, inB bool) bool
		}{
			"union":      {a.union(b), func(x, y bool) bool { return x || y }},
			"intersect":  {a.intersect(b), func(x, y bool) bool { return x && y }},
			"minus":      {a.minus(b), func(x, y bool) bool { return x && !y }},
			"complement": {a.complement(), func(x, _ bool) bool { return !x }},
		} {
			if !result.is.sound() {
				t.Fatalf("%s of %v and %v is %v, which overlaps or touches", name, a, b, result.is)
			}
			for _, port := range ends {
				if got, want := result.is.has(port), result.want(a.has(port), b.has(port)); got != want {
					t.Fatalf("%s of %v and %v is %v: port %d is wrong", name, a, b, result.is, port)
				}
			}
		}
	}
}

func TestSpansOfEverythingAndNothing(t *testing.T) {
	if got := allPorts.complement(); len(got) != 0 {
		t.Errorf("all ports leave %v", got)
	}
	if got := spans(nil).complement(); !slices.Equal(got, allPorts) {
		t.Errorf("no port leaves %v", got)
	}
	if got := (spans{{0, 9}}).union(spans{{10, lastPort}}); !slices.Equal(got, allPorts) {
		t.Errorf("two halves are %v", got)
	}
}
