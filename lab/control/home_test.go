package control

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestHome(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	h, err := OpenHome()
	if err != nil || h.Dir() != filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bulkhead") {
		t.Fatalf("%v, %v", h, err)
	}
	if again, err := OpenHome(); again != h || err != nil {
		t.Errorf("again: %v, %v", again, err)
	}
	for _, file := range []string{"b.log", "a.sock", "a.lock", "c.txt", ".lock"} {
		if err := os.WriteFile(filepath.Join(h.Dir(), file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := h.Names(); !reflect.DeepEqual(names, []string{"a", "b"}) || err != nil {
		t.Errorf("names %v, %v", names, err)
	}
	if pid, err := h.Holder("a"); pid != 0 || err != nil {
		t.Errorf("held by %d, %v", pid, err)
	}
}

func TestHomeIsOnesOwn(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, link} {
		if _, err := openHome(path); err == nil || !strings.Contains(err.Error(), "not yours alone") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "default": true, "two-2": true, "": false, "A": false, "-a": false, "a-": false, "a/b": false,
		"..": false, strings.Repeat("a", 32): true, strings.Repeat("a", 33): false,
	} {
		err := CheckName(name)
		var input InputError
		if (err == nil) != want || err != nil && !errors.As(err, &input) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
