// Package kerneltest runs a package's tests against the real kernel: as root, or
// in a user namespace of their own where the kernel lets everybody make one.
//
// Tests that need the kernel may not be skipped where it is capable. Where it is
// not, they fail, unless BULKHEAD_WITHOUT_KERNEL=1 says that this is known. A
// test run that leaves goroutines or file descriptors behind fails.
package kerneltest

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// WithoutKernel is the environment variable that lets the tests be left out.
const WithoutKernel = "BULKHEAD_WITHOUT_KERNEL"

// inside marks the process that runs in the user namespace.
const inside = "BULKHEAD_KERNELTEST_INSIDE"

// Main is the body of a TestMain.
func Main(m *testing.M) {
	switch capable := mayMakeNamespaces(); {
	case capable == nil:
		os.Exit(withoutLeaks(m))
	case os.Getenv(WithoutKernel) == "1":
		fmt.Println("kernel tests left out:", capable)
		os.Exit(0)
	case os.Getenv(inside) != "":
		fmt.Println("kernel tests cannot run:", capable)
		os.Exit(1)
	}
	os.Exit(runInside())
}

// mayMakeNamespaces tries on a thread that ends with the try.
func mayMakeNamespaces() error {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread()
		tried <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-tried
}

// runInside runs the same tests as root of a user namespace.
func runInside() int {
	self := exec.Command("/proc/self/exe", os.Args[1:]...)
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.Env = append(os.Environ(), inside+"=1")
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	self.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: one(os.Getuid()), GidMappings: one(os.Getgid()),
		Pdeathsig: syscall.SIGKILL,
	}
	err := self.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Printf("kernel tests cannot run: %v; run them as root, or set %s=1 to leave them out\n", err, WithoutKernel)
		return 1
	}
	return 0
}

// withoutLeaks runs the tests and compares what is open afterwards.
func withoutLeaks(m *testing.M) int {
	before, err := descriptors()
	if err != nil {
		fmt.Println("kernel tests cannot run:", err)
		return 1
	}
	code := m.Run()
	if fuzzing := flag.Lookup("test.fuzz"); code != 0 || fuzzing != nil && fuzzing.Value.String() != "" {
		return code // a fuzzing run has helpers of its own
	}
	if err := awaitNoLeaks(before); err != nil {
		fmt.Println("tests left something behind:", err)
		return 1
	}
	return 0
}

// settle is how long goroutines have that are on their way to their end.
const settle = 5 * time.Second

func awaitNoLeaks(before map[string]string) error {
	for deadline := time.Now().Add(settle); ; time.Sleep(settle / 500) {
		runtime.GC() // takes back pipes that the runtime keeps for splice(2)
		err := leaks(before)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func leaks(before map[string]string) error {
	now, err := descriptors()
	if err != nil {
		return err
	}
	var found []error
	for fd, target := range now {
		if _, ok := before[fd]; !ok && !strings.HasPrefix(target, "anon_inode:") {
			found = append(found, fmt.Errorf("file descriptor %s (%s)", fd, target))
		}
	}
	if n := runtime.NumGoroutine(); n > 1 {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		found = append(found, fmt.Errorf("%d goroutines:\n%s", n-1, stacks.String()))
	}
	return errors.Join(found...)
}

// descriptors are the process's open files. The runtime's poller opens
// anonymous ones when it is first used.
func descriptors() (map[string]string, error) {
	const folder = "/proc/self/fd"
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("list open files: %w", err)
	}
	open := map[string]string{}
	for _, e := range entries {
		target, err := os.Readlink(folder + "/" + e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // the listing's own
		}
		open[e.Name()] = target
	}
	return open, nil
}
