package http

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// rush is for how long the next request is awaited before it is worth while to
// look after the server too.
const rush = 20 * time.Millisecond

// nextHead reads the next request's head. If the server ends its connection
// meanwhile, the client's ends the same way, with io.EOF: it would not know to
// send the request again otherwise.
func (x *exchange) nextHead() ([]byte, error) {
	if x.server == nil {
		return x.client.head(x.options.Idle, x.options.Patience)
	}
	head, err := x.client.head(rush, x.options.Patience)
	if !errors.Is(err, os.ErrDeadlineExceeded) || len(x.client.unread()) > 0 {
		return head, err
	}
	over := make(chan bool, 1)
	go func() {
		gone := x.server.gone()
		if over <- gone; gone {
			x.client.SetReadDeadline(time.Unix(1, 0))
		}
	}()
	head, err = x.client.head(x.options.Idle, x.options.Patience)
	x.server.SetReadDeadline(time.Unix(1, 0))
	gone := <-over
	x.server.SetReadDeadline(time.Time{})
	if gone && err != nil {
		return nil, io.EOF
	}
	return head, err
}

// gone waits until the server ends the connection, or sends what nobody asked
// for. A deadline in the past ends the wait.
func (s *stream) gone() bool {
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	var one [1]byte
	err = raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN)
	})
	return err == nil
}
