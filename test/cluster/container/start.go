package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// The helper finds its spec and reports why it failed on these descriptors; it
// closes both, without a word, by becoming the container's process.
const (
	specFD    = 3
	failureFD = 4
)

// ErrStart is the reason within every error of Start that lies in the container
// itself: no such program, a mount that cannot be.
var ErrStart = errors.New("start container")

// Start starts a container in a view. cmd carries the helper's path and the
// standard streams; once Start returns nil it is the container's first process,
// to be waited for by the caller.
func Start(view ns.View, spec *Spec, cmd *exec.Cmd) error {
	specR, specW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer specR.Close()
	defer specW.Close()
	failR, failW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer failR.Close()
	defer failW.Close()
	cmd.ExtraFiles = []*os.File{specR, failW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: spec.cloneFlags(), Setsid: true, Setctty: spec.Terminal}
	if err := view.Start(cmd); err != nil {
		return fmt.Errorf("run container helper: %w", err)
	}
	failW.Close()
	specR.Close()
	if err := json.NewEncoder(specW).Encode(spec); err != nil {
		return reap(cmd, fmt.Errorf("hand over container spec: %w", err))
	}
	specW.Close()
	failure, err := io.ReadAll(failR)
	if err != nil {
		return reap(cmd, fmt.Errorf("wait for container helper: %w", err))
	}
	if len(failure) > 0 {
		return reap(cmd, fmt.Errorf("%w: %s", ErrStart, failure))
	}
	return nil
}

func reap(cmd *exec.Cmd, cause error) error {
	cmd.Process.Kill()
	cmd.Wait()
	return cause
}

func (s *Spec) cloneFlags() uintptr {
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if !s.SharePID {
		flags |= unix.CLONE_NEWPID
	}
	return flags
}

// Main is the helper program: it reads its spec, builds the container around
// itself and becomes its process. It returns only if that failed.
func Main() int {
	spec := &Spec{}
	in, failure := os.NewFile(specFD, "spec"), os.NewFile(failureFD, "failure")
	unix.CloseOnExec(specFD)
	unix.CloseOnExec(failureFD)
	err := json.NewDecoder(in).Decode(spec)
	if err == nil {
		err = spec.become()
	}
	fmt.Fprint(failure, err)
	return 128
}
