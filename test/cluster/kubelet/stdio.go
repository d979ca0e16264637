package kubelet

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/creack/pty"
)

// stdio is what a container reads and writes: its output goes to the log, in the
// form runtimes write it, and to whoever is attached.
type stdio struct {
	mu      sync.Mutex
	log     *os.File
	partial map[string][]byte // by stream: a line's beginning
	clients map[*client]bool

	terminal, inside *os.File       // both ends of the terminal, if it has one
	stdin            io.WriteCloser // nil: the container reads nothing
	stdinInside      *os.File
	drained          chan struct{} // closed: the terminal has been read to its end
}

// A client is somebody attached.
type client struct{ out, err io.Writer }

func newStdio(logPath string, stdin, tty bool) (*stdio, error) {
	if err := os.MkdirAll(filepath.Dir(logPath), 0o755); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	s := &stdio{log: log, partial: map[string][]byte{}, clients: map[*client]bool{}, drained: make(chan struct{})}
	switch {
	case tty:
		s.terminal, s.inside, err = pty.Open()
		if stdin {
			s.stdin = s.terminal
		}
	case stdin:
		s.stdinInside, s.stdin, err = pipe()
	}
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("open standard input: %w", err)
	}
	return s, nil
}

func pipe() (*os.File, io.WriteCloser, error) {
	r, w, err := os.Pipe()
	return r, w, err
}

// connect gives a command its standard streams.
func (s *stdio) connect(cmd *exec.Cmd) {
	if s.terminal != nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = s.inside, s.inside, s.inside
		return
	}
	if s.stdinInside != nil {
		cmd.Stdin = s.stdinInside
	}
	cmd.Stdout, cmd.Stderr = stream{s, "stdout"}, stream{s, "stderr"}
}

// started lets go of what the container now holds itself.
func (s *stdio) started() {
	for _, file := range []*os.File{s.inside, s.stdinInside} {
		if file != nil {
			file.Close()
		}
	}
	if s.terminal == nil {
		close(s.drained)
		return
	}
	go func() {
		defer close(s.drained)
		// A terminal whose other end is closed fails to read; that is its end.
		_, _ = io.Copy(stream{s, "stdout"}, s.terminal)
	}()
}

func (s *stdio) close() {
	<-s.drained
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, rest := range s.partial {
		s.writeLine(name, "P", rest)
	}
	s.log.Close()
	if s.stdin != nil {
		s.stdin.Close()
	}
	if s.terminal != nil {
		s.terminal.Close()
	}
}

// attach adds a client until the returned function is called.
func (s *stdio) attach(out, err io.Writer) (detach func()) {
	c := &client{out: out, err: err}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.clients, c)
	}
}

// A stream is standard output or standard error of a container.
type stream struct {
	s    *stdio
	name string
}

func (w stream) Write(b []byte) (int, error) {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.write(w.name, b)
	}
	text := append(s.partial[w.name], b...)
	for {
		line, rest, found := bytes.Cut(text, []byte("\n"))
		if !found {
			break
		}
		s.writeLine(w.name, "F", line)
		text = rest
	}
	s.partial[w.name] = bytes.Clone(text)
	return len(b), nil
}

func (c *client) write(stream string, b []byte) {
	to := c.out
	if stream == "stderr" && c.err != nil {
		to = c.err
	}
	if to != nil {
		// A client that went away must not stop the container's output.
		_, _ = to.Write(b)
	}
}

func (s *stdio) writeLine(stream, tag string, line []byte) {
	if tag == "P" && len(line) == 0 {
		return
	}
	// A log that cannot be written, on a full disk, costs the line.
	_, _ = fmt.Fprintf(s.log, "%s %s %s %s\n", time.Now().UTC().Format(time.RFC3339Nano), stream, tag, line)
}
