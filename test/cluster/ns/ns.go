// Package ns makes Linux namespaces without names and runs code and processes
// inside them.
//
// A namespace lives as long as a Space, a process or a mount holds it, so
// nothing of it outlives the processes that use it, however they end. Every
// function runs on a thread of its own which ends afterwards: no goroutine ever
// finds itself in the wrong namespace. All of it is safe for concurrent use.
//
// A program that uses this package must keep its main goroutine on the main
// thread (runtime.LockOSThread in an init function): /proc/self shows the main
// thread, which therefore must not be lent to a namespace.
package ns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Space is one namespace, held open.
type Space struct {
	file *os.File
	kind int // a CLONE_NEW* flag
}

// A View is the set of namespaces that code or a process runs in. A nil member
// is the namespace of the caller. PID applies to processes started in the view.
type View struct {
	Net, Mount, UTS, IPC, PID *Space
}

// kinds are the namespaces of a view: their file below /proc/PID/ns and flag.
var kinds = []struct {
	name string
	flag int
	of   func(*View) **Space
}{
	{"net", unix.CLONE_NEWNET, func(v *View) **Space { return &v.Net }},
	{"uts", unix.CLONE_NEWUTS, func(v *View) **Space { return &v.UTS }},
	{"ipc", unix.CLONE_NEWIPC, func(v *View) **Space { return &v.IPC }},
	{"pid", unix.CLONE_NEWPID, func(v *View) **Space { return &v.PID }},
	{"mnt", unix.CLONE_NEWNS, func(v *View) **Space { return &v.Mount }},
}

// New makes the namespaces of the given CLONE_NEW* flags, starting from those of
// a view, runs prepare in them, and returns the new ones alone. A new mount
// namespace passes no mount back to the one it was made from.
// CLONE_NEWPID needs a first process and is not for New.
func New(base View, flags int, prepare func() error) (View, error) {
	var made View
	err := base.Do(func() error {
		if err := unshare(flags); err != nil {
			return err
		}
		if prepare != nil {
			if err := prepare(); err != nil {
				return err
			}
		}
		return made.hold("/proc/thread-self/ns/", flags)
	})
	if err != nil {
		return View{}, fmt.Errorf("make namespaces: %w", err)
	}
	return made, nil
}

func unshare(flags int) error {
	if flags&unix.CLONE_NEWNS != 0 {
		flags |= unix.CLONE_FS
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if flags&unix.CLONE_NEWNS == 0 {
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

// Of holds the namespaces of a running process, those of the given flags.
func Of(pid, flags int) (View, error) {
	var v View
	if err := v.hold(fmt.Sprintf("/proc/%d/ns/", pid), flags); err != nil {
		return View{}, fmt.Errorf("open namespaces of process %d: %w", pid, err)
	}
	return v, nil
}

func (v *View) hold(dir string, flags int) error {
	for _, kind := range kinds {
		if flags&kind.flag == 0 {
			continue
		}
		file, err := os.Open(dir + kind.name)
		if err != nil {
			return err
		}
		*kind.of(v) = &Space{file: file, kind: kind.flag}
	}
	return nil
}

// Do runs f on a thread that is in the namespaces of the view.
func (v View) Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the runtime ends the thread with its goroutine.
		runtime.LockOSThread()
		if err := v.Enter(); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// Start starts a command in the view.
func (v View) Start(cmd *exec.Cmd) error { return v.Do(cmd.Start) }

// Enter moves the calling thread into the view for good. Use it before exec;
// everything else wants Do.
func (v View) Enter() error {
	for _, kind := range kinds {
		space := *kind.of(&v)
		if space == nil {
			continue
		}
		if err := space.enter(); err != nil {
			return fmt.Errorf("enter %s namespace: %w", kind.name, err)
		}
	}
	return nil
}

func (s *Space) enter() error {
	if s.kind == unix.CLONE_NEWNS {
		// setns(2): a thread that shares its root directory with others
		// cannot change its mount namespace.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare root directory: %w", err)
		}
	}
	return unix.Setns(int(s.file.Fd()), s.kind)
}

// FD is the descriptor that holds the namespace; others find it below
// /proc/PID/fd. It belongs to the Space.
func (s *Space) FD() int { return int(s.file.Fd()) }

// Close lets go of the namespace. A nil Space has nothing to let go of.
func (s *Space) Close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}

// Open holds the namespace that a file shows, a /proc/PID/ns entry or a copy.
func Open(path string, flag int) (*Space, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace: %w", err)
	}
	return &Space{file: file, kind: flag}, nil
}

// Close lets go of every namespace of the view.
func (v View) Close() error {
	return errors.Join(v.Net.Close(), v.Mount.Close(), v.UTS.Close(), v.IPC.Close(), v.PID.Close())
}
