package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// keeperVariable makes this program a keeper.
const keeperVariable = "BULKHEAD_LAB_KEEPER"

// A keeper is the first process of a command's process namespace. The kernel
// ends all others with it, and keeps signals from it that it does not handle,
// which is why it cannot be the command itself.
func init() {
	if os.Getenv(keeperVariable) != "" {
		keep()
	}
}

// keep does nothing until it is killed. Orphans that end are forgotten by the
// kernel, since nobody wants to hear of them.
func keep() {
	signal.Ignore(unix.SIGCHLD, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	for {
		_, _ = unix.Poll(nil, -1)
	}
}

// startKeeper starts a keeper from the calling thread, with which it ends.
func startKeeper() (*exec.Cmd, error) {
	keeper := exec.Command("/proc/self/exe")
	keeper.Args[0], keeper.Dir, keeper.Env = "bulkhead-lab-keeper", "/", []string{keeperVariable + "=1"}
	keeper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setsid: true}
	if err := keeper.Start(); err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	return keeper, nil
}

// stop ends a keeper, and with it what a command has left.
func stop(keeper *exec.Cmd) error {
	if err := keeper.Process.Kill(); err != nil {
		return fmt.Errorf("stop keeper: %w", err)
	}
	var killed *exec.ExitError
	if err := keeper.Wait(); !errors.As(err, &killed) {
		return fmt.Errorf("wait for keeper: %w", err)
	}
	return nil
}
