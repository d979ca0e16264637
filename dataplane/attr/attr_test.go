package attr

import (
	"bytes"
	"testing"
)

func sample() List {
	var l List
	l.Uint32(1, 7)
	l.Text(2, "name")
	nest := l.Nest(3)
	l.Bytes(4, []byte{1, 2, 3})
	l.Raw(5, "raw")
	l.End(nest)
	return l
}

func TestWrittenIsRead(t *testing.T) {
	l := sample()
	if got := Uint32(l, 1); got != 7 {
		t.Errorf("number %d, want 7", got)
	}
	if got := Text(l, 2); got != "name" {
		t.Errorf("text %q, want name", got)
	}
	nested := Find(l, 3)
	if got := Find(nested, 4); !bytes.Equal(got, []byte{1, 2, 3}) {
		t.Errorf("bytes %v, want 1 2 3", got)
	}
	if got := Text(nested, 5); got != "raw" {
		t.Errorf("text %q, want raw", got)
	}
	if len(l)%4 != 0 {
		t.Errorf("%d bytes are not aligned", len(l))
	}
}

func TestMissingIsZero(t *testing.T) {
	l := sample()
	if Find(l, 9) != nil || Uint32(l, 9) != 0 || Text(l, 9) != "" {
		t.Error("an attribute that is not there has a value")
	}
	if Uint32(l, 2) != 0 {
		t.Error("a text has a number")
	}
}

func TestEachStops(t *testing.T) {
	n := 0
	Each(sample(), func(uint16, []byte) bool {
		n++
		return n < 2
	})
	if n != 2 {
		t.Errorf("called %d times, want 2", n)
	}
}

// FuzzEach: whatever lengths say, values lie inside the message and the walk
// ends.
func FuzzEach(f *testing.F) {
	f.Add([]byte(sample()))
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{255, 255, 1, 0, 1})
	f.Add([]byte{5, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		Each(b, func(_ uint16, value []byte) bool {
			total += 4 + len(value)
			return true
		})
		if total > len(b) {
			t.Errorf("%d bytes of values in a message of %d", total, len(b))
		}
	})
}
