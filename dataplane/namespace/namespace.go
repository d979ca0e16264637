// Package namespace holds on to a network namespace, so that sockets and files
// of it can be opened at any time from any thread.
//
// A Handle owns one file descriptor and may be used by several goroutines until
// Close.
package namespace

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// thread is the namespace of the thread that opens it, which is not always that
// of the process's first thread (/proc/self).
const thread = "/proc/thread-self/ns/net"

// Handle is a network namespace.
type Handle struct {
	file *os.File
}

// Open holds on to the namespace that a descriptor stands for; zero is the
// calling thread's own. The descriptor stays the caller's.
func Open(fd int) (*Handle, error) {
	if fd == 0 {
		file, err := os.Open(thread)
		if err != nil {
			return nil, fmt.Errorf("open network namespace: %w", err)
		}
		return &Handle{file}, nil
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return &Handle{os.NewFile(uintptr(own), "network namespace")}, nil
}

// FD is the handle's own descriptor.
func (h *Handle) FD() int { return int(h.file.Fd()) }

// Close lets go of the namespace. Sockets and files that were opened in it stay.
func (h *Handle) Close() error { return h.file.Close() }

// Do runs a function on a thread inside the namespace: what it opens below
// /proc/sys/net is the namespace's. A thread that cannot leave it again ends.
func (h *Handle) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(thread)
		if err != nil {
			done <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		defer home.Close()
		if err := unix.Setns(h.FD(), unix.CLONE_NEWNET); err != nil {
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
