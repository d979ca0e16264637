// Package listen opens ports in network namespaces and answers on them.
//
// A Listener is one port of one protocol, for both address families. It answers
// until Close, in goroutines of its own; Close ends the connections that it has.
// Handlers are called by several goroutines.
package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// ErrUnsupported is found by errors.Is where the kernel lacks a protocol.
var ErrUnsupported = errors.New("the kernel does not have this protocol")

// Stream serves a connection; the listener closes it afterwards.
type Stream func(conn net.Conn)

// Listener is an open port.
type Listener interface {
	// Idle tells whether everything that has reached the port was taken and,
	// for datagrams, answered.
	Idle() (bool, error)
	Close() error
}

// backlog is how many connections may wait to be accepted; the kernel has its
// own limit (somaxconn), which since Linux 5.4 is as much.
const backlog = 4096

// stream is an open port of a protocol with connections.
type stream struct {
	listener net.Listener
	serve    Stream
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// OpenStream answers TCP or SCTP connections to a port.
func OpenStream(s *space.Space, protocol traffic.Protocol, port uint16, serve Stream) (Listener, error) {
	fd, err := bound(s, unix.SOCK_STREAM, protocol, port)
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s %d: %w", protocol, port, err), unix.Close(fd))
	}
	return ServeStream(fd, serve)
}

// ServeStream answers connections to a listening socket, which it takes over.
func ServeStream(fd int, serve Stream) (Listener, error) {
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	listener, err := net.FileListener(file) // takes SCTP for TCP, which accepts alike
	if err != nil {
		return nil, fmt.Errorf("use listening socket: %w", err)
	}
	l := &stream{listener: listener, serve: serve, conns: map[net.Conn]bool{}}
	l.wg.Go(l.accept)
	return l, nil
}

func (l *stream) accept() {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || !l.note(conn) {
			continue
		}
		l.wg.Go(func() {
			l.serve(conn)
			l.forget(conn)
		})
	}
}

// note remembers a connection so that Close can end it.
func (l *stream) note(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *stream) forget(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
	conn.Close()
}

// Idle is always true: the kernel completes connections, accepted or not.
func (l *stream) Idle() (bool, error) { return true, nil }

// Close waits until all handlers have returned.
func (l *stream) Close() error {
	l.mu.Lock()
	l.closed = true
	err := l.listener.Close()
	for conn := range l.conns {
		conn.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
	return err
}
