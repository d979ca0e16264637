package space

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func inode(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink(threadNamespace)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func newSpace(t *testing.T) *Space {
	t.Helper()
	s, err := New()
	if errors.Is(err, unix.EPERM) {
		t.Fatalf("%v: run the tests as root, or in a user namespace: unshare -Urm", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestDoIsInsideAndComesBack(t *testing.T) {
	before := inode(t)
	s := newSpace(t)
	var inside string
	if err := s.Do(func() error { inside = inode(t); return nil }); err != nil {
		t.Fatal(err)
	}
	if inside == before {
		t.Error("the function ran in the caller's namespace")
	}
	for range 100 { // whatever thread it is on
		if after := inode(t); after != before {
			t.Fatalf("a thread stayed in %s, want %s", after, before)
		}
	}
}

func TestDoHandsErrorsOn(t *testing.T) {
	want := errors.New("mine")
	if err := newSpace(t).Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

func TestSpacesDoNotSeeEachOther(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	listen := func(s *Space) (l net.Listener, err error) {
		err = s.Do(func() error {
			l, err = net.Listen("tcp", ":80")
			return err
		})
		return l, err
	}
	for _, s := range []*Space{a, b} { // the same port in both
		l, err := listen(s)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	if _, err := listen(a); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("port 80 a second time: got %v", err)
	}
}

func TestSettings(t *testing.T) {
	s := newSpace(t)
	if err := s.Set(Sysctl{"ipv4/ip_forward", "1"}); err != nil {
		t.Fatal(err)
	}
	var value []byte
	err := s.Do(func() (err error) {
		value, err = os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		return err
	})
	if err != nil || strings.TrimSpace(string(value)) != "1" {
		t.Errorf("ip_forward is %q, %v", value, err)
	}
	if err := s.Set(Sysctl{"ipv4/no_such_thing", "1"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a setting that does not exist: %v", err)
	}
	for path, want := range map[string]bool{"ipv4": true, "no/such": false} {
		if got, err := s.Has(path); got != want || err != nil {
			t.Errorf("Has(%q) = %v, %v", path, got, err)
		}
	}
}

func TestNetlinkIsInside(t *testing.T) {
	h, err := newSpace(t).Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Attrs().Flags&net.FlagUp != 0 {
		t.Error("loopback is up: this is not a new namespace")
	}
}

func TestOwnThreadEnds(t *testing.T) {
	before := inode(t)
	leader, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		OnOwnThread(func() {
			if unix.Gettid() == unix.Getpid() {
				t.Error("it is the first thread")
			}
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				t.Error(err)
			}
		})
		if after := inode(t); after != before {
			t.Fatalf("the thread lives on in %s", after)
		}
	}
	if after, err := os.Readlink("/proc/self/ns/net"); after != leader {
		t.Errorf("the process is in %s, was in %s, %v", after, leader, err)
	}
}
