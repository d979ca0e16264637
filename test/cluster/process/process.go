// Package process runs the long-lived programs of a test cluster: each can be
// stopped, killed and started again, with another command too, while everybody
// else keeps the same handle on it.
//
// Methods are safe for concurrent use; those that change a process wait for each
// other.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// A Process is a program, running or not.
type Process struct {
	name string
	view ns.View
	log  string
	env  []string

	change sync.Mutex // held while the process is started or ended
	mu     sync.Mutex // guards the rest
	argv   []string
	cmd    *exec.Cmd     // nil: not running
	ended  chan struct{} // closed when cmd has ended
	told   bool          // to end
	status control.ProcessStatus
}

// ErrRunning is the error for starting a process twice.
var ErrRunning = errors.New("process is running already")

// New describes a process that is started later. Its output goes to a file; env
// is added to the environment of the caller.
func New(name string, view ns.View, logDir string, env []string, argv ...string) *Process {
	log := filepath.Join(logDir, filepath.FromSlash(name)+".log")
	return &Process{name: name, view: view, log: log, env: env, argv: argv, status: control.ProcessStatus{Name: name, Log: log}}
}

// Replace has the process run another command from its next start on.
func (p *Process) Replace(argv []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.argv = argv
}

// Start starts the process.
func (p *Process) Start() error {
	p.change.Lock()
	defer p.change.Unlock()
	if p.Status().Running {
		return fmt.Errorf("start %s: %w", p.name, ErrRunning)
	}
	if err := p.start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

func (p *Process) start() error {
	if err := os.MkdirAll(filepath.Dir(p.log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own, so that what it starts is ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.view.Start(cmd); err != nil {
		return err
	}
	p.cmd, p.ended, p.told = cmd, make(chan struct{}), false
	p.status.Starts++
	go p.wait(cmd, p.ended)
	return nil
}

func (p *Process) wait(cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	p.status.LastExit = "exit status 0"
	if err != nil {
		p.status.LastExit = err.Error()
	}
	if !p.told {
		p.status.Deaths++
	}
	close(ended)
}

// Stop asks the process to end and kills it when ctx ends first.
func (p *Process) Stop(ctx context.Context) error { return p.end(ctx, syscall.SIGTERM) }

// Kill ends the process without asking.
func (p *Process) Kill() error { return p.end(context.Background(), syscall.SIGKILL) }

func (p *Process) end(ctx context.Context, s syscall.Signal) error {
	p.change.Lock()
	defer p.change.Unlock()
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.told = true
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	// Only the process itself is asked; it ends its own children as it likes.
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.name, err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-ended
	}
	// What it left behind goes too. No such group means it left nothing.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return nil
}

// Signal sends a signal that is not meant to end the process.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("signal %s: %w", p.name, os.ErrProcessDone)
	}
	return p.cmd.Process.Signal(s)
}

// Ended is closed when the present run has ended; nil if there is none.
func (p *Process) Ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Status says how the process is.
func (p *Process) Status() control.ProcessStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Command = p.argv
	if p.cmd != nil {
		s.Running, s.PID = true, p.cmd.Process.Pid
	}
	return s
}

// Do does what a request asks for.
func (p *Process) Do(ctx context.Context, r control.ProcessRequest) error {
	if r.Command != nil {
		p.Replace(r.Command)
	}
	switch r.Action {
	case control.StartProcess:
		return p.Start()
	case control.KillProcess:
		return p.Kill()
	case control.SignalOnly:
		return p.Signal(syscall.Signal(r.Signal))
	case control.StopProcess:
		grace := r.Grace
		if grace == 0 {
			grace = 10 * time.Second
		}
		ctx, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		return p.Stop(ctx)
	}
	return fmt.Errorf("%s: unknown action %q", p.name, r.Action)
}
