// Package space makes network namespaces that nobody else sees: they have no
// name and no mount, and the kernel removes them with the last file descriptor,
// socket or process in them.
//
// A Space owns one file descriptor and may be used by several goroutines until
// Close. Sockets that were opened in it go on working afterwards, and keep the
// namespace alive. The process needs CAP_SYS_ADMIN in its user namespace.
package space

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// threadNamespace is the namespace of the thread that opens it. It is not
// /proc/self, which is the first thread's and may be elsewhere for the moment.
const threadNamespace = "/proc/thread-self/ns/net"

// Space is a network namespace.
type Space struct {
	file *os.File
}

// New makes an empty namespace; not even its loopback device is up.
func New() (*Space, error) {
	var s *Space
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("create network namespace: %w", err)
		}
		file, err := os.Open(threadNamespace)
		s = &Space{file}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// FD is the namespace's file descriptor; it is the Space's to close.
func (s *Space) FD() int { return int(s.file.Fd()) }

// Close lets go of the namespace.
func (s *Space) Close() error { return s.file.Close() }

// Do runs a function on a thread that is inside the namespace. Sockets that the
// function opens belong to the namespace; goroutines that it starts do not.
func (s *Space) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(s.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Netlink opens a route netlink handle in the namespace.
func (s *Space) Netlink() (*netlink.Handle, error) {
	h, err := netlink.NewHandleAt(netns.NsHandle(s.FD()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return h, nil
}

// Sysctl is one kernel setting of a network namespace, as a path below
// /proc/sys/net.
type Sysctl struct {
	Path, Value string
}

// Set writes settings in order.
func (s *Space) Set(settings ...Sysctl) error {
	return s.Do(func() error {
		for _, setting := range settings {
			if err := os.WriteFile("/proc/sys/net/"+setting.Path, []byte(setting.Value), 0); err != nil {
				return fmt.Errorf("set net/%s to %s: %w", setting.Path, setting.Value, err)
			}
		}
		return nil
	})
}

// Has tells whether the kernel knows a setting or a folder of settings.
func (s *Space) Has(path string) (bool, error) {
	found := false
	err := s.Do(func() error {
		_, err := os.Stat("/proc/sys/net/" + path)
		found = err == nil
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return found, err
}

// onThread runs a function on a thread of its own and brings the thread back to
// the namespace that it came from. A thread that cannot go back ends.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open(threadNamespace)
		if err != nil {
			done <- fmt.Errorf("open own network namespace: %w", err)
			return
		}
		defer home.Close()
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			done <- errors.Join(err, fmt.Errorf("return to own network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}

// OnOwnThread runs a function on a thread that ends with it, so that whatever
// the function does to its thread stays there. It is never the process's first
// thread: that cannot end, and the process is known by its namespaces.
func OnOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			OnOwnThread(f) // cannot be here again: this thread is taken
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
