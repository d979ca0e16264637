package namespace

import (
	"errors"
	"os"
	"testing"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

func inode(t *testing.T, do func(func() error) error) string {
	t.Helper()
	var name string
	err := do(func() error {
		var err error
		name, err = os.Readlink(thread)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func here(f func() error) error { return f() }

func TestDoIsInside(t *testing.T) {
	s, err := space.New()
	if err != nil {
		t.Fatal(err)
	}
	want := inode(t, s.Do)
	h, err := Open(s.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := s.Close(); err != nil { // the handle is its own
		t.Fatal(err)
	}
	home := inode(t, here)
	if got := inode(t, h.Do); got != want || got == home {
		t.Errorf("inside %s, want %s and not %s", got, want, home)
	}
	if got := inode(t, here); got != home {
		t.Errorf("afterwards in %s, want %s", got, home)
	}
}

func TestZeroIsHere(t *testing.T) {
	h, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if got, want := inode(t, h.Do), inode(t, here); got != want {
		t.Errorf("inside %s, want %s", got, want)
	}
}

func TestDoReturnsTheError(t *testing.T) {
	h, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	want := errors.New("mine")
	if got := h.Do(func() error { return want }); !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
}

func TestOpenRefusesWhatIsClosed(t *testing.T) {
	if h, err := Open(1 << 20); err == nil {
		h.Close()
		t.Error("a descriptor that nobody opened was taken")
	}
}
