package main

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// serving is the server's sockets.
type serving struct {
	listener, udp int
	received      atomic.Int64 // bytes of streams
	datagrams     atomic.Int64
	done          chan struct{}
	running       sync.WaitGroup
}

// One byte at the beginning of a connection says what it is for.
const (
	answerOnce = iota + 1
	answerAlways
	swallow
)

func serve(s *space.Space) (*serving, error) {
	v := &serving{done: make(chan struct{})}
	err := s.Do(func() error {
		var err error
		if v.listener, err = listen(unix.SOCK_STREAM, tcpPort); err != nil {
			return err
		}
		v.udp, err = listen(unix.SOCK_DGRAM, udpPort)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	for range 2 {
		v.running.Go(v.accept)
	}
	v.running.Go(v.receive)
	return v, nil
}

func listen(kind, port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	const buffer = 8 << 20
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) // without it fewer datagrams fit
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return 0, err
	}
	if kind == unix.SOCK_STREAM {
		return fd, unix.Listen(fd, 1024)
	}
	return fd, nil
}

func (v *serving) close() {
	close(v.done)
	for _, fd := range []int{v.listener, v.udp} {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // wakes who waits, also where it is an error
	}
	v.running.Wait()
	unix.Close(v.listener)
	unix.Close(v.udp)
}

func (v *serving) accept() {
	for {
		fd, _, err := unix.Accept4(v.listener, unix.SOCK_CLOEXEC)
		if err != nil {
			select {
			case <-v.done:
				return
			default:
				continue
			}
		}
		v.handle(fd)
	}
}

// handle answers short connections itself, and leaves long ones to others, so
// that accept can go on.
func (v *serving) handle(fd int) {
	b := make([]byte, 1)
	if n, err := unix.Read(fd, b); n != 1 || err != nil {
		unix.Close(fd)
		return
	}
	switch b[0] {
	case answerOnce:
		_, _ = unix.Write(fd, b)
		_, _ = unix.Read(fd, b) // the client closes first
		unix.Close(fd)
	case answerAlways:
		v.running.Go(func() { answer(fd) })
	case swallow:
		v.running.Go(func() { v.swallow(fd) })
	}
}

func answer(fd int) {
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	for b := make([]byte, 1); ; {
		if n, err := unix.Read(fd, b); n != 1 || err != nil {
			return
		}
		if _, err := unix.Write(fd, b); err != nil {
			return
		}
	}
}

func (v *serving) swallow(fd int) {
	defer unix.Close(fd)
	for b := make([]byte, 256<<10); ; {
		n, err := unix.Read(fd, b)
		if n <= 0 || err != nil {
			return
		}
		v.received.Add(int64(n))
	}
}

func (v *serving) receive() {
	for b := make([]byte, 2048); ; {
		n, from, err := unix.Recvfrom(v.udp, b, 0)
		if n <= 0 || err != nil {
			select {
			case <-v.done:
				return
			default:
				continue
			}
		}
		v.datagrams.Add(1)
		if n == 1 { // a client that makes itself known
			_ = unix.Sendto(v.udp, b[:n], 0, from)
		}
	}
}
