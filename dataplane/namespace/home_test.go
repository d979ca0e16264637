package namespace

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

// TestOwnNamespaceIsNotEntered: entering takes a capability that an agent has
// not.
func TestOwnNamespaceIsNotEntered(t *testing.T) {
	own, err := os.Open(thread)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for name, fd := range map[string]int{"by default": 0, "by descriptor": int(own.Fd())} {
		h, err := Open(fd)
		if err != nil {
			t.Fatal(err)
		}
		if h.FD() != 0 || h.NsHandle().IsOpen() {
			t.Errorf("%s: sockets are opened in descriptor %d, %v", name, h.FD(), h.NsHandle())
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOtherNamespaceIsEntered also where it is the default, of a thread that was
// moved.
func TestOtherNamespaceIsEntered(t *testing.T) {
	opened := make(chan *Handle)
	go func() {
		defer close(opened)
		runtime.LockOSThread() // the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		h, err := Open(0)
		if err != nil {
			t.Error(err)
			return
		}
		opened <- h
	}()
	h := <-opened
	if h == nil {
		return
	}
	defer h.Close()
	if h.FD() == 0 || int(h.NsHandle()) != h.FD() {
		t.Errorf("sockets are opened in descriptor %d, %v", h.FD(), h.NsHandle())
	}
	var inside, want os.FileInfo
	err := h.Do(func() (err error) {
		inside, err = os.Stat(thread)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if want, err = h.file.Stat(); err != nil || !os.SameFile(inside, want) {
		t.Errorf("did in %v, want %v, %v", inside, want, err)
	}
	home, err := os.Stat(thread)
	if err != nil || os.SameFile(home, want) {
		t.Errorf("left behind in the other namespace, %v", err)
	}
}
