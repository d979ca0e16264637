package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/command"
)

// signals carries signals to the program that runs at the time, or that is about
// to.
type signals struct {
	mu      sync.Mutex
	process *command.Process
	early   []syscall.Signal // came before the program was there
}

func (s *signals) send(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		s.early = append(s.early, signal)
		return
	}
	_ = s.process.Signal(signal) // one that has ended wants none
}

// carryTo names the program, or with nil none.
func (s *signals) carryTo(p *command.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != nil {
		for _, signal := range s.early {
			_ = p.Signal(signal)
		}
	}
	s.process, s.early = p, nil
}

// exec runs a program until it ends or the client goes away.
func (c *session) exec(ctx context.Context, e Exec) (*exited, error) {
	files := c.conn.takeFiles()
	defer closeAll(files)
	if len(files) != filesPerExec {
		return nil, fmt.Errorf("run %s: got %d files, need %d", e.Path, len(files), filesPerExec)
	}
	process, err := c.startProgram(e, files)
	if err != nil {
		return nil, err
	}
	// The program has its own; a terminal shows its end only when all are closed.
	closeAll(files)
	c.signals.carryTo(process)
	defer c.signals.carryTo(nil)
	stop := context.AfterFunc(ctx, func() { _ = process.Signal(unix.SIGKILL) })
	defer stop()
	code, err := process.Wait()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", e.Path, err)
	}
	return &exited{code}, ctx.Err()
}

func (c *session) startProgram(e Exec, files []*os.File) (*command.Process, error) {
	place, ok := c.lab.Place(e.Target)
	if !ok {
		return nil, inputf("there is no %q in the lab: use NAMESPACE/POD, node/NAME or outside", e.Target)
	}
	process, err := command.Start(command.Command{
		Space: place.Space, Hostname: place.Hostname, Files: place.Files,
		Path: e.Path, Args: e.Args, Env: append(e.Env, "HOSTNAME="+place.Hostname), Dir: e.Dir,
		Stdin: files[0], Stdout: files[1], Stderr: files[2], Terminal: e.Terminal,
	})
	if err != nil && errors.Is(err, os.ErrPermission) {
		err = InputError{err}
	}
	return process, err
}
