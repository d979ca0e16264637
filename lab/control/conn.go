package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// filesPerExec are standard input, output and error.
const filesPerExec = 3

// conn is a Unix socket that carries JSON values one after the other, and with
// some of them open files.
type conn struct {
	socket  *net.UnixConn
	decoder *json.Decoder

	mu    sync.Mutex
	files []*os.File // received and not yet taken
}

func newConn(socket *net.UnixConn) *conn {
	c := &conn{socket: socket}
	c.decoder = json.NewDecoder(c)
	return c
}

// Read is for the decoder. It keeps the files that come along.
func (c *conn) Read(p []byte) (int, error) {
	control := make([]byte, unix.CmsgSpace(4*filesPerExec))
	n, nc, _, _, err := c.socket.ReadMsgUnix(p, control)
	if err != nil || nc == 0 {
		return max(n, 0), err
	}
	messages, err := unix.ParseSocketControlMessage(control[:nc])
	if err != nil {
		return n, fmt.Errorf("read files: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return n, fmt.Errorf("read files: %w", err)
		}
		for _, fd := range fds {
			c.files = append(c.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return n, nil
}

// takeFiles are the files that came with the last value.
func (c *conn) takeFiles() []*os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	files := c.files
	c.files = nil
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// send writes a value, with files.
func (c *conn) send(value any, files ...*os.File) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		n, _, err := c.socket.WriteMsgUnix(text, unix.UnixRights(fds...), nil)
		if err != nil {
			return fmt.Errorf("send files: %w", err)
		}
		text = text[n:]
	}
	_, err = c.socket.Write(text)
	return err
}

func (c *conn) close() error {
	closeAll(c.takeFiles())
	err := c.socket.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// pair is two connected sockets, the second as a file for another process.
func pair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	socket, err := fileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return socket, theirs, nil
}

// fileConn takes a file over as a socket.
func fileConn(file *os.File) (*net.UnixConn, error) {
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("use socket: %w", err)
	}
	socket, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("use socket: it is a %T", c)
	}
	return socket, nil
}
