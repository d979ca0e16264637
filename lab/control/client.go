package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/sandbox"
)

// ErrGone is found by errors.Is where a lab has ended while it was asked.
var ErrGone = errors.New("the lab has ended")

// Client asks a lab. It is used by one goroutine at a time, but for Signal.
type Client struct {
	conn    *conn
	process *exec.Cmd // the server, where the client has started it
}

// Launch starts a server: this program with the given arguments, in a sandbox.
// They make it call Serve, with the file of number 3. Its log goes to a file.
func Launch(log *os.File, args ...string) (*Client, error) {
	cmd, err := sandbox.Command(args...)
	if err != nil {
		return nil, err
	}
	socket, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = log, log
	if err := sandbox.Start(cmd); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return &Client{conn: newConn(socket), process: cmd}, nil
}

// FirstFile is the socket that Launch gives a server.
func FirstFile() *os.File { return os.NewFile(3, "client") }

// Dial finds a running lab by its name.
func (h Home) Dial(name string) (*Client, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: h.file(name, socketFile), Net: "unix"})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, inputf("there is no lab %s: start one with bulkhead lab up", name)
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil, fmt.Errorf("lab %s: %w without tidying up: see bulkhead lab down --name %s", name, ErrGone, name)
	}
	if err != nil {
		return nil, fmt.Errorf("find lab %s: %w", name, err)
	}
	return &Client{conn: newConn(socket)}, nil
}

// Close goes away. A server that the client has launched and that has no name
// ends, and Close waits for that.
func (c *Client) Close() error {
	err := c.conn.close()
	if c.process != nil {
		err = errors.Join(err, c.process.Wait())
	}
	return err
}

// Detach goes away from a server that the client has launched, which runs on.
func (c *Client) Detach() error {
	return errors.Join(c.conn.close(), c.process.Process.Release())
}

// Start makes the lab.
func (c *Client) Start(ctx context.Context, start Start) error {
	return c.ask(ctx, request{Op: opStart, Start: &start}, nil, nil)
}

// State is the lab's cluster.
func (c *Client) State(ctx context.Context) (State, error) {
	var s State
	err := c.ask(ctx, request{Op: opState}, &s, nil)
	return s, err
}

// Apply brings the lab to the state after the one that it has.
func (c *Client) Apply(ctx context.Context, next State) error {
	return c.ask(ctx, request{Op: opApply, Apply: &next}, nil, nil)
}

// Probe tries connections. Progress may be nil.
func (c *Client) Probe(ctx context.Context, filter Filter, progress func(Progress)) (*Probed, error) {
	p := &Probed{}
	return p, c.ask(ctx, request{Op: opProbe, Probe: &filter}, p, progress)
}

// Status tells what there is in the lab.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := &Status{}
	return s, c.ask(ctx, request{Op: opStatus}, s, nil)
}

// Stop makes the lab end.
func (c *Client) Stop(ctx context.Context) error {
	return c.ask(ctx, request{Op: opStop}, nil, nil)
}

// Exec runs a program with this process's own standard files, or a terminal in
// their place, and returns its exit code.
func (c *Client) Exec(ctx context.Context, e Exec, stdin, stdout, stderr *os.File) (int, error) {
	var result exited
	err := c.ask(ctx, request{Op: opExec, Exec: &e}, &result, nil, stdin, stdout, stderr)
	return result.Code, err
}

// Signal sends the program of the running Exec a signal.
func (c *Client) Signal(s syscall.Signal) error {
	return c.conn.send(request{Op: opSignal, Signal: &s})
}

// ask sends a request and waits for its last event. When the context ends, the
// client goes away for good, and the server gives up.
func (c *Client) ask(ctx context.Context, r request, result any, progress func(Progress), files ...*os.File) error {
	stop := context.AfterFunc(ctx, func() { c.conn.socket.Close() })
	defer stop()
	if err := c.conn.send(r, files...); err != nil {
		return c.gone(ctx, err)
	}
	for {
		var e event
		if err := c.conn.decoder.Decode(&e); err != nil {
			return c.gone(ctx, err)
		}
		switch {
		case e.Progress != nil && progress != nil:
			progress(*e.Progress)
		case e.Progress != nil:
		case e.Error != nil && e.Error.Input:
			return InputError{errors.New(e.Error.Message)}
		case e.Error != nil:
			return errors.New(e.Error.Message)
		case result == nil:
			return nil
		default:
			if err := json.Unmarshal(e.Result, result); err != nil {
				return fmt.Errorf("decode answer: %w", err)
			}
			return nil
		}
	}
}

// gone is the error of a connection that has broken.
func (c *Client) gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return ErrGone
	}
	return fmt.Errorf("ask lab: %w", err)
}
