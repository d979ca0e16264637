// Package namespace holds on to a network namespace, so that sockets and files
// of it can be opened at any time from any thread.
//
// The namespace that the process lives in is never entered, for its threads are
// in it already, and entering takes CAP_SYS_ADMIN, which an agent has no other
// need of (setns(2)).
//
// A Handle owns one file descriptor and may be used by several goroutines until
// Close.
package namespace

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// thread is the namespace of the thread that opens it, which is not always that
// of the process's first thread (/proc/self).
const thread = "/proc/thread-self/ns/net"

// process is the namespace that the program was started in, as it was before
// anybody could move a thread: /proc/self speaks of the first thread, which may
// be moved like any other.
var process, errProcess = os.Stat(thread)

// Handle is a network namespace.
type Handle struct {
	file *os.File
	home bool // it is the process's own
}

// Open holds on to the namespace that a descriptor stands for; zero is the
// calling thread's own. The descriptor stays the caller's.
func Open(fd int) (*Handle, error) {
	if fd == 0 {
		file, err := os.Open(thread)
		if err != nil {
			return nil, fmt.Errorf("open network namespace: %w", err)
		}
		return newHandle(file)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return newHandle(os.NewFile(uintptr(own), "network namespace"))
}

func newHandle(file *os.File) (*Handle, error) {
	if errProcess != nil {
		return nil, errors.Join(fmt.Errorf("find own network namespace: %w", errProcess), file.Close())
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find network namespace: %w", err), file.Close())
	}
	return &Handle{file, os.SameFile(process, info)}, nil
}

// FD is where to open a socket, in the way of netlink.Config: a descriptor, or
// zero for the process's own namespace.
func (h *Handle) FD() int {
	if h.home {
		return 0
	}
	return int(h.file.Fd())
}

// NsHandle is FD in the way of vishvananda/netlink.
func (h *Handle) NsHandle() netns.NsHandle {
	if h.home {
		return netns.None()
	}
	return netns.NsHandle(h.file.Fd())
}

// Close lets go of the namespace. Sockets and files that were opened in it stay.
func (h *Handle) Close() error { return h.file.Close() }

// Do runs a function on a thread inside the namespace: what it opens below
// /proc/sys/net is the namespace's. A thread that cannot leave it again ends.
func (h *Handle) Do(f func() error) error {
	done := make(chan error, 1)
	if h.home {
		// Another goroutine may have moved this thread; a new one is home.
		go func() { done <- f() }()
		return <-done
	}
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(thread)
		if err != nil {
			done <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		defer home.Close()
		if err := unix.Setns(int(h.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			done <- errors.Join(err, fmt.Errorf("leave network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}
