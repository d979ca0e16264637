package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	runtime "github.com/bulkhead-dev/bulkhead/test/cluster/container"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

var errNotRunning = errors.New("container is not running")

// streams are what a further process of a container reads and writes.
type streams struct {
	in       io.Reader // nil: nothing to read
	out, err io.Writer // nil: thrown away
	tty      bool
	resize   <-chan remotecommand.TerminalSize
}

// execute runs a further process in the container, to its end or that of ctx.
func (r *instance) execute(ctx context.Context, argv []string, s streams) error {
	if len(argv) == 0 {
		return errors.New("no command given")
	}
	cmd := &exec.Cmd{Args: argv, Env: r.spec.Env, Dir: r.spec.Dir, WaitDelay: time.Second}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: s.tty}
	if r.spec.UID != 0 || r.spec.GID != 0 || len(r.spec.Groups) > 0 {
		cmd.SysProcAttr.Credential = r.credential()
	}
	if s.tty {
		return r.executeOnTerminal(ctx, cmd, s)
	}
	cmd.Stdout, cmd.Stderr = s.out, s.err
	var stdin io.WriteCloser
	if s.in != nil {
		var err error
		if stdin, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := r.join(cmd); err != nil {
		return err
	}
	if stdin != nil {
		go func() {
			defer stdin.Close()
			// The process may end before it has read everything.
			_, _ = io.Copy(stdin, s.in)
		}()
	}
	return waitFor(ctx, cmd)
}

func (r *instance) credential() *syscall.Credential {
	c := &syscall.Credential{Uid: uint32(r.spec.UID), Gid: uint32(r.spec.GID)}
	for _, g := range r.spec.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

func (r *instance) executeOnTerminal(ctx context.Context, cmd *exec.Cmd, s streams) error {
	terminal, inside, err := pty.Open()
	if err != nil {
		return fmt.Errorf("open terminal: %w", err)
	}
	defer terminal.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inside, inside, inside
	err = r.join(cmd)
	inside.Close()
	if err != nil {
		return err
	}
	go resize(terminal, s.resize)
	if s.in != nil {
		go io.Copy(terminal, s.in)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		// A terminal whose other end is closed fails to read; that is its end.
		_, _ = io.Copy(s.out, terminal)
	}()
	err = waitFor(ctx, cmd)
	<-read
	return err
}

func resize(terminal *os.File, sizes <-chan remotecommand.TerminalSize) {
	for size := range sizes {
		// A terminal of the wrong size is still one.
		_ = pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
	}
}

// join starts a command in the container's namespaces, with its capabilities.
func (r *instance) join(cmd *exec.Cmd) error {
	if r.alive.Err() != nil {
		return errNotRunning
	}
	return r.view.Do(func() (err error) {
		// The thread ends with this function: what it gives up is gone with it.
		if !r.spec.Privileged {
			if err := runtime.Confine(r.spec.Capabilities); err != nil {
				return err
			}
		}
		if cmd.Path, err = runtime.LookPath(cmd.Args[0], cmd.Env); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// waitFor waits for a process and says how it ended in the words of exec. When
// ctx ends first, the process is killed.
func waitFor(ctx context.Context, cmd *exec.Cmd) error {
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return utilexec.CodeExitError{Err: fmt.Errorf("command ended with exit code %d", code), Code: code}
}

// forward copies between a stream and a port of the pod, on its loopback.
func forward(ctx context.Context, pod ns.View, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	conn, err := dial(ctx, pod, "tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(port)))
	if err != nil {
		conn, err = dial(ctx, pod, "tcp", net.JoinHostPort("::1", fmt.Sprint(port)))
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream)
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(stream, conn)
	return err
}
