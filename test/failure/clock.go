package failure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A machine's wall clock cannot be set for one process, and other processes on
// the machine need theirs. So the agent is started without the kernel's vDSO,
// and each time it asks the kernel for the wall clock a supervisor answers, with
// an offset added (seccomp_unotify(2)). It is the same program file that is
// installed; its monotonic clock is the machine's.

// Words that tell this program what to be.
const (
	superviseClock = "supervise-clock" // OFFSET-FILE PROGRAM ARGS...
	becomeProgram  = "become-program"  // PROGRAM ARGS...
)

// listenerFD is where a child hands over the descriptor of its filter.
const listenerFD = 3

// supervise runs a program whose wall clock is off by the seconds in a file, and
// returns its exit status.
func supervise(offset string, argv []string) (int, error) {
	runtime.LockOSThread() // ptrace answers only the thread that began
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("make socket pair: %w", err)
	}
	child := exec.Command("/proc/self/exe", append([]string{becomeProgram}, argv...)...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.ExtraFiles = []*os.File{os.NewFile(uintptr(pair[1]), "listener")}
	child.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", argv[0], err)
	}
	pid := child.Process.Pid
	go pass(child.Process)
	go answerClock(pair[0], pid, offset)
	if err := hideVDSO(pid); err != nil {
		_ = child.Process.Kill()
		return 0, fmt.Errorf("hide vDSO of %s: %w", argv[0], err)
	}
	var failed *exec.ExitError
	if err := child.Wait(); err != nil && !errors.As(err, &failed) {
		return 0, err
	}
	return child.ProcessState.ExitCode(), nil
}

// pass hands on signals that ask to end.
func pass(child *os.Process) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM, unix.SIGINT)
	for s := range asked {
		_ = child.Signal(s)
	}
}

// hideVDSO follows a traced child to the program that it becomes, and takes the
// vDSO's address from what the kernel tells that program (getauxval(3)).
func hideVDSO(pid int) error {
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL); err != nil {
		return err
	}
	for next := unix.Signal(0); ; {
		if err := unix.PtraceCont(pid, int(next)); err != nil {
			return err
		}
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
			return err
		}
		switch {
		case !status.Stopped():
			return fmt.Errorf("it ended: %v", status)
		case status.TrapCause() == unix.PTRACE_EVENT_EXEC:
			if err := ignoreVDSO(pid); err != nil {
				return err
			}
			return unix.PtraceDetach(pid)
		}
		next = status.StopSignal()
	}
}

// ignoreVDSO walks a new program's stack: the arguments, the environment, and
// pairs of numbers, each list with a zero at its end.
func ignoreVDSO(pid int) error {
	const atIgnore, atSysinfoEHDR = 1, 33
	stack, err := stackPointer(pid)
	if err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	number := make([]byte, 8)
	read := func() (uint64, error) {
		_, err := memory.ReadAt(number, stack)
		stack += int64(len(number))
		return binary.NativeEndian.Uint64(number), err
	}
	if _, err := read(); err != nil { // how many arguments
		return err
	}
	for lists := 0; lists < 2; {
		n, err := read()
		if err != nil {
			return err
		}
		if n == 0 {
			lists++
		}
	}
	for {
		kind, err := read()
		switch {
		case err != nil:
			return err
		case kind == 0:
			return errors.New("the program was told of no vDSO")
		case kind == atSysinfoEHDR:
			_, err := memory.WriteAt(binary.NativeEndian.AppendUint64(nil, atIgnore), stack-int64(len(number)))
			return err
		}
		stack += int64(len(number)) // the value
	}
}

// become puts a filter on what this process does, hands its listener over, and
// turns into a program.
func become(argv []string) error {
	runtime.LockOSThread()
	runtime.GC() // so that nothing asks for the time on this thread later on
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up privileges of files: %w", err)
	}
	const offsetNumber, offsetFirst = 0, 16 // struct seccomp_data
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
	}
	filter := []unix.SockFilter{
		load(offsetNumber), unless(unix.SYS_CLOCK_GETTIME, 3),
		load(offsetFirst), unless(unix.CLOCK_REALTIME, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("set filter: %w", errno)
	}
	if err := unix.Sendmsg(listenerFD, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return fmt.Errorf("hand over filter: %w", err)
	}
	unix.CloseOnExec(listenerFD)
	return fmt.Errorf("become %s: %w", argv[0], unix.Exec(argv[0], argv, os.Environ()))
}

// notification and answer are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	id        uint64
	pid       uint32
	flags     uint32
	number    int32
	arch      uint32
	pointer   uint64
	arguments [6]uint64
}

type answer struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// From seccomp.h.
const (
	notifyReceive = 0xc0502100
	notifySend    = 0xc0182101
)

// answerClock tells a process the time, until it ends.
func answerClock(socket, pid int, offset string) {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), rights, 0)
	if err != nil {
		return
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return
	}
	for {
		var question notification
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), notifyReceive, uintptr(unsafe.Pointer(&question)))
		if errno == unix.EINTR || errno == unix.ENOENT {
			continue
		}
		if errno != 0 {
			return // it has ended
		}
		reply := answer{id: question.id}
		if err := tellTime(pid, int64(question.arguments[1]), offset); err != nil {
			fmt.Fprintln(os.Stderr, "tell the time:", err)
			reply.err = -int32(unix.EINVAL)
		}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fds[0]), notifySend, uintptr(unsafe.Pointer(&reply)))
	}
}

// tellTime writes a struct timespec where the process wants it.
func tellTime(pid int, where int64, offset string) error {
	text, err := os.ReadFile(offset)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return err
	}
	now := time.Now()
	value := binary.NativeEndian.AppendUint64(nil, uint64(now.Unix()+seconds))
	value = binary.NativeEndian.AppendUint64(value, uint64(now.Nanosecond()))
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	_, err = memory.WriteAt(value, where)
	return err
}
