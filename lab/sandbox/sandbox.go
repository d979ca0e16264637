// Package sandbox starts this program again in a network namespace of its own,
// so that whatever it does there cannot touch the machine's network; without the
// needed privileges it does so in a user namespace in which it has them.
//
// The new process has an empty network and the file system, terminal and files
// of its parent.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// needed are the capabilities without which there are no network namespaces.
const needed = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN

// Command is this program with other arguments, in a sandbox. It has a session of
// its own: what a terminal sends to its parent does not reach it.
func Command(args ...string) (*exec.Cmd, error) {
	privileged, err := hasNeeded()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0] // by which some programs know who they are
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNET}
	if !privileged {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return cmd, nil
}

func hasNeeded() (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, fmt.Errorf("read own capabilities: %w", err)
	}
	return data[0].Effective&needed == needed, nil
}

// Start starts a command of Command's. Where the kernel forbids sandboxes the
// error says what to do.
func Start(cmd *exec.Cmd) error {
	err := cmd.Start()
	if err == nil {
		return nil
	}
	if cmd.SysProcAttr.Cloneflags&unix.CLONE_NEWUSER != 0 {
		for _, denial := range []error{unix.EPERM, unix.ENOSPC, unix.EINVAL, unix.EACCES} {
			if errors.Is(err, denial) {
				return fmt.Errorf("start without root, in a user namespace: %w: %s", err, advice(readSetting))
			}
		}
	}
	return fmt.Errorf("start in a network namespace: %w", err)
}

// settings forbid user namespaces when they have that value.
var settings = []struct{ path, value, name string }{
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
}

// advice is how to get a sandbox.
func advice(read func(path string) string) string {
	for _, s := range settings {
		if read(s.path) == s.value {
			return fmt.Sprintf("run it as root, or let users have namespaces: sysctl %s", s.name)
		}
	}
	return "run it as root; something forbids user namespaces here (a container's seccomp profile, perhaps)"
}

func readSetting(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// Check tells whether this process, started by Command, can do what it is for.
// Some systems allow user namespaces and then deny everything in them.
func Check() error {
	privileged, err := hasNeeded()
	if err != nil {
		return err
	}
	if !privileged {
		return fmt.Errorf("no privileges inside the sandbox: %s", advice(readSetting))
	}
	return nil
}
