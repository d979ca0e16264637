// Package command runs programs as if they were in a pod: in its network, under
// its name, with its files for resolving names. All else is the machine's.
//
// A program has mounts and processes of its own: nothing that it starts outlives
// it, and it does not outlive the process that started it.
package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// Command is a program to run.
type Command struct {
	Space    *space.Space
	Hostname string
	Files    []File
	Path     string // of the program, absolute
	Args     []string
	Env      []string
	Dir      string
	// Stdin, Stdout and Stderr are the program's; the caller closes them.
	Stdin, Stdout, Stderr *os.File
	// Terminal: Stdin is a terminal that the program gets as its own.
	Terminal bool
}

// File is a file that the program sees with another content.
type File struct {
	Path, Content string
}

// Process is a running program.
type Process struct {
	program, keeper *exec.Cmd
	done            chan struct{}
	code            int
	err             error
}

// Start starts a program.
func Start(c Command) (*Process, error) {
	if err := triedProcessDescriptors(); err != nil {
		return nil, err
	}
	p := &Process{done: make(chan struct{})}
	started := make(chan error, 1)
	// The thread is in namespaces that are nobody else's. It waits until the
	// program has ended: the kernel ends the keeper, and with it the program, with
	// the thread that started it (PR_SET_PDEATHSIG).
	go space.OnOwnThread(func() {
		defer close(p.done)
		err := p.start(&c)
		started <- err
		if err == nil {
			p.code, p.err = exitCode(p.program.Wait())
			p.err = errors.Join(p.err, stop(p.keeper))
		}
	})
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", c.Path, err)
	}
	return p, nil
}

// start prepares the calling thread and starts the program from it.
func (p *Process) start(c *Command) error {
	if err := c.prepareThread(); err != nil {
		return err
	}
	var err error
	if p.keeper, err = startKeeper(); err != nil {
		return err
	}
	p.program = &exec.Cmd{
		Path: c.Path, Args: c.Args, Env: c.Env, Dir: c.Dir,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Setctty: c.Terminal},
	}
	if err := p.program.Start(); err != nil {
		return errors.Join(err, stop(p.keeper))
	}
	return nil
}

func (c *Command) prepareThread() error {
	if err := unix.Setns(c.Space.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("create mount and process namespaces: %w", err)
	}
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("set host name %q: %w", c.Hostname, err)
	}
	return c.placeFiles()
}

// triedProcessDescriptors makes package os find out now whether it can use
// process descriptors. It tries that once, with a process that ends at once: as
// the first one of a process namespace, that would end the namespace too.
var triedProcessDescriptors = sync.OnceValue(func() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return fmt.Errorf("find own process: %w", err)
	}
	return self.Release()
})

// Signal sends the program a signal. One that has ended is none the worse.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.program.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Wait returns the program's exit code once it has ended; 128 and the signal's
// number if that ended it, as shells have it.
func (p *Process) Wait() (int, error) {
	<-p.done
	return p.code, p.err
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
