package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Home is the folder in which the labs of a user are found: for each a socket,
// a lock that its process holds, and its log. All are removed with the lab; what
// a crash leaves is nothing but these files.
type Home struct {
	dir string
}

// The endings of a lab's files.
const (
	socketFile = ".sock"
	lockFile   = ".lock"
	logFile    = ".log"
)

// HomeAt is a folder that OpenHome has found before.
func HomeAt(dir string) Home { return Home{dir} }

// Dir is the folder's path.
func (h Home) Dir() string { return h.dir }

// OpenHome finds the user's folder and makes it if need be. Nobody else may
// write to it.
func OpenHome() (Home, error) {
	dir := filepath.Join(os.TempDir(), "bulkhead-"+strconv.Itoa(os.Getuid()))
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		dir = filepath.Join(runtime, "bulkhead")
	} else if os.Getuid() == 0 && unix.Access("/run", unix.W_OK) == nil {
		dir = "/run/bulkhead-lab"
	}
	return openHome(dir)
}

func openHome(dir string) (Home, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return Home{}, fmt.Errorf("make folder of labs: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return Home{}, fmt.Errorf("look at folder of labs: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(owner.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return Home{}, fmt.Errorf("folder of labs %s is not yours alone: remove it, or set XDG_RUNTIME_DIR to one that is", dir)
	}
	return Home{dir}, nil
}

func (h Home) file(name, ending string) string { return filepath.Join(h.dir, name+ending) }

// Log is the path of a lab's log.
func (h Home) Log(name string) string { return h.file(name, logFile) }

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// CheckName tells whether a lab can have a name.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return inputf("lab name %q: use up to 32 of a-z, 0-9 and -, not first or last", name)
	}
	return nil
}

// Names are the labs that run or have left something, sorted.
func (h Home) Names() ([]string, error) {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the last lab took it along
	}
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var names []string
	for _, entry := range entries {
		for _, ending := range []string{socketFile, lockFile, logFile} {
			if name, ok := strings.CutSuffix(entry.Name(), ending); ok && validName.MatchString(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Holder is the process that runs a lab; zero: none does.
func (h Home) Holder(name string) (int, error) {
	file, err := os.OpenFile(h.file(name, lockFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open lock of lab %s: %w", name, err)
	}
	defer file.Close()
	// The kernel names the holder, so a number that was used again since cannot
	// be taken for it (F_GETLK).
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("ask lock of lab %s: %w", name, err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}

// Available tells whether a new lab can have a name.
func (h Home) Available(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if pid, err := h.Holder(name); err != nil || pid != 0 {
		return errors.Join(err, alreadyUp(name))
	}
	return nil
}

func alreadyUp(name string) error {
	return inputf("lab %s is up already: use another --name, or bulkhead lab down --name %s", name, name)
}

// claim is a process's hold of a lab's name.
type claim struct {
	home     Home
	name     string
	lock     *os.File
	listener *net.UnixListener
}

// claim takes a name for this process and listens.
func (h Home) claim(name string) (*claim, error) {
	c := &claim{home: h, name: name}
	if err := c.takeLock(); err != nil {
		return nil, err
	}
	socket := h.file(name, socketFile)
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("remove old socket: %w", err), c.release())
	}
	var err error
	c.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for clients: %w", err), c.release())
	}
	return c, nil
}

func (c *claim) takeLock() error {
	path := c.home.file(c.name, lockFile)
	for {
		var err error
		if c.lock, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return fmt.Errorf("open lock of lab %s: %w", c.name, err)
		}
		err = unix.FcntlFlock(c.lock.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			c.lock.Close()
			return alreadyUp(c.name)
		}
		if err != nil {
			c.lock.Close()
			return fmt.Errorf("lock lab %s: %w", c.name, err)
		}
		if c.lockIsCurrent(path) {
			return nil
		}
		c.lock.Close() // its last holder has removed it in the meantime
	}
}

func (c *claim) lockIsCurrent(path string) bool {
	held, err := c.lock.Stat()
	if err != nil {
		return false
	}
	current, err := os.Stat(path)
	return err == nil && os.SameFile(held, current)
}

// release gives the name back and removes the lab's files, the lock last.
func (c *claim) release() error {
	if c.listener != nil {
		c.listener.Close()
	}
	err := c.home.clean(c.name)
	return errors.Join(err, c.lock.Close())
}

func (h Home) clean(name string) error {
	var errs []error
	for _, ending := range []string{socketFile, logFile, lockFile} {
		if err := os.Remove(h.file(name, ending)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
