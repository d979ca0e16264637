package machine

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that the cluster's processes are started with.
const (
	ReadyFD    = 3 // written to once: a control.Status, or an error, as JSON
	ListenerFD = 4 // a socket outside, to be passed on to the API server
	LifeFD     = 5 // read from: its end is the cluster's
	LockFD     = 6 // held by the first process alone, and so until its end
)

// Boot is the first process of the cluster's PID namespace: it starts the
// cluster's own process, buries the orphans, and ends with it, whereupon the
// kernel ends everything else. It returns the exit code.
func Boot(program string, args ...string) int {
	if err := mountProc(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	unix.CloseOnExec(LockFD)
	for fd := ReadyFD; fd <= LifeFD; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "inherited"))
	}
	child, err := os.StartProcess(program, append([]string{program}, args...), &os.ProcAttr{Files: files})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start cluster process:", err)
		return 1
	}
	for _, file := range files[3:] {
		file.Close()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for s := range signals {
			_ = child.Signal(s)
		}
	}()
	return bury(child.Pid)
}

// mountProc shows the processes of the new PID namespace.
func mountProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// bury waits for whoever ends, until the child does.
func bury(child int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 1
		case pid == child && status.Signaled():
			return 128 + int(status.Signal())
		case pid == child:
			return status.ExitStatus()
		}
	}
}
