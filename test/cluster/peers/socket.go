package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// handlers is how many connections a server works on at the same time.
const handlers = 4

// A server answers every byte it reads on a connection with one.
type server struct {
	listener int
	closed   atomic.Bool
}

// serve listens in a pod. A server has no memory of connections: it ends with the
// process or the pod.
func serve(pod ns.View, address netip.Addr, port uint16) (*server, error) {
	s := &server{}
	err := pod.Do(func() (err error) {
		if s.listener, err = unix.Socket(family(address), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if err := unix.Bind(s.listener, sockaddr(netip.AddrPortFrom(address, port))); err != nil {
			return err
		}
		return unix.Listen(s.listener, 4096)
	})
	if err != nil {
		return nil, fmt.Errorf("serve on %s port %d: %w", address, port, err)
	}
	for range handlers {
		go s.accept()
	}
	return s, nil
}

func (s *server) accept() {
	for !s.closed.Load() {
		conn, _, err := unix.Accept4(s.listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if err != nil {
			return
		}
		go answer(conn)
	}
}

func answer(conn int) {
	defer unix.Close(conn)
	b := make([]byte, 1)
	for {
		n, err := unix.Read(conn, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		if _, err := unix.Write(conn, b); err != nil {
			return
		}
	}
}

// close stops accepting; shutdown wakes those who wait for a connection.
func (s *server) close() {
	s.closed.Store(true)
	_ = unix.Shutdown(s.listener, unix.SHUT_RDWR)
	_ = unix.Close(s.listener)
}

// dial connects a blocking socket that gives up after a time. It runs in the
// network namespace of its thread.
func dial(target netip.AddrPort, timeout time.Duration) (conn int, err error) {
	conn, err = unix.Socket(family(target.Addr()), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := prepare(conn, timeout); err != nil {
		return -1, errors.Join(err, unix.Close(conn))
	}
	if err := unix.Connect(conn, sockaddr(target)); err != nil {
		return -1, errors.Join(err, unix.Close(conn))
	}
	return conn, nil
}

// prepare bounds every wait of a socket, and has its end be a reset, which leaves
// nothing behind that would use up ports.
func prepare(conn int, timeout time.Duration) error {
	limit := unix.NsecToTimeval(timeout.Nanoseconds())
	return errors.Join(
		unix.SetsockoptTimeval(conn, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		unix.SetsockoptTimeval(conn, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptLinger(conn, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}

// exchange sends a byte and waits for one.
func exchange(conn int) error {
	b := []byte{1}
	if _, err := unix.Write(conn, b); err != nil {
		return err
	}
	n, err := unix.Read(conn, b)
	if err == nil && n == 0 {
		err = unix.ECONNRESET
	}
	return err
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
