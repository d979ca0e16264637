package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const oldRoot = "/.view"

// devices are the files of /dev that programs take for granted.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// become turns the calling process, alone in its fresh namespaces, into the
// container's first process.
func (s *Spec) become() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// Sources are opened before the root changes: symbolic links in them are
	// meant to be followed in the view, not in the container.
	sources, err := open(s.mounts())
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		s.pivot, s.mountKernel, func() error { return s.bind(sources) }, s.leaveOldRoot, s.identity,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	program, err := LookPath(s.Argv[0], s.Env)
	if err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", program, unix.Exec(program, s.Argv, s.Env))
}

// mounts are those of the spec behind those that every container has.
func (s *Spec) mounts() []Mount {
	all := []Mount{{Target: "/dev"}}
	if s.Privileged {
		all[0].Source = "/dev"
	} else {
		for _, name := range devices {
			all = append(all, Mount{Source: "/dev/" + name, Target: "/dev/" + name})
		}
	}
	return append(append(all, Mount{Target: "/dev/shm"}), s.Mounts...)
}

// An opened mount is one whose source can be reached from any root.
type opened struct {
	Mount
	fd    int // -1: memory
	isDir bool
}

func open(mounts []Mount) ([]opened, error) {
	var all []opened
	for _, m := range mounts {
		o := opened{Mount: m, fd: -1, isDir: true}
		if m.Source != "" {
			info, err := os.Stat(m.Source)
			if err != nil {
				return nil, fmt.Errorf("find source of mount %s: %w", m.Target, err)
			}
			o.isDir = info.IsDir()
			if o.fd, err = unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
				return nil, fmt.Errorf("open source of mount %s: %w", m.Target, err)
			}
		}
		all = append(all, o)
	}
	return all, nil
}

// pivot makes the layers the root and leaves the view's at oldRoot.
func (s *Spec) pivot() error {
	upper, work, root := filepath.Join(s.Scratch, "upper"), filepath.Join(s.Scratch, "work"), filepath.Join(s.Scratch, "root")
	for _, dir := range []string{filepath.Join(upper, oldRoot), work, root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make root folder: %w", err)
		}
	}
	options := "lowerdir=" + strings.Join(s.Layers, ":") + ",upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	if err := unix.PivotRoot(root, filepath.Join(root, oldRoot)); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return os.Chdir("/")
}

// mountKernel mounts the file systems through which the kernel speaks. /sys
// shows the network namespace of who mounts it, hence a fresh one.
func (s *Spec) mountKernel() error {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	sysFlags := uintptr(quiet)
	if !s.Privileged {
		sysFlags |= unix.MS_RDONLY
	}
	for _, m := range []struct {
		kind, target string
		flags        uintptr
	}{{"proc", "/proc", quiet}, {"sysfs", "/sys", sysFlags}} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
		if err := unix.Mount(m.kind, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

func (s *Spec) bind(mounts []opened) error {
	for _, m := range mounts {
		if err := m.mount(); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	if s.Privileged {
		return nil
	}
	return s.terminals()
}

// terminals gives the container its own pseudo terminals.
func (s *Spec) terminals() error {
	if err := os.MkdirAll("/dev/pts", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("devpts", "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	for link, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, "/dev/"+link); err != nil {
			return err
		}
	}
	return nil
}

func (m *opened) mount() error {
	if err := m.makeTarget(); err != nil {
		return err
	}
	if m.fd < 0 {
		return unix.Mount("tmpfs", m.Target, "tmpfs", unix.MS_NOSUID, "mode=1777")
	}
	source := fmt.Sprintf("/proc/self/fd/%d", m.fd)
	if err := unix.Mount(source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !m.ReadOnly {
		return nil
	}
	return unix.Mount("", m.Target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func (m *opened) makeTarget() error {
	if m.isDir {
		return os.MkdirAll(m.Target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(m.Target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(m.Target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func (s *Spec) leaveOldRoot() error {
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if err := os.Remove(oldRoot); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if !s.ReadOnlyRoot {
		return nil
	}
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// identity is the last step as root: host name, folder, capabilities, user.
func (s *Spec) identity() error {
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("set host name: %w", err)
		}
	}
	if s.Dir != "" {
		if err := os.Chdir(s.Dir); err != nil {
			return fmt.Errorf("change folder: %w", err)
		}
	}
	unix.Umask(0o022)
	if !s.Privileged {
		if err := Confine(s.Capabilities); err != nil {
			return err
		}
	}
	if s.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("forgo new privileges: %w", err)
		}
	}
	return s.setUser()
}

func (s *Spec) setUser() error {
	if err := syscall.Setgroups(s.Groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setgid(s.GID); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := syscall.Setuid(s.UID); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	return nil
}

// LookPath finds a program the way execvp does, in the PATH of an environment
// and the root of the calling thread.
func LookPath(program string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, variable := range env {
		list, isPath := strings.CutPrefix(variable, "PATH=")
		if !isPath {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			name := filepath.Join(dir, program)
			if info, err := os.Stat(name); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("find program %q in the container's PATH: %w", program, os.ErrNotExist)
}
