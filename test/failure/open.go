package failure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// keepUDP exchanges datagrams on one open connection.
func (t *Traffic) keepUDP(to netip.AddrPort) error {
	conn, err := net.Dial("udp", to.String())
	if err != nil {
		return fmt.Errorf("open kept socket: %w", err)
	}
	defer conn.Close()
	return t.paced(func(n uint64) error {
		t.exchange(conn, n)
		return nil
	})
}

// exchange sends a number and waits until it comes back; an answer to an earlier
// one that was given up may come first.
func (t *Traffic) exchange(conn net.Conn, n uint64) {
	message, at := binary.BigEndian.AppendUint64(nil, n), time.Now()
	_ = conn.SetDeadline(at.Add(answerTime))
	_, err := conn.Write(message)
	for answer := make([]byte, len(message)); err == nil; {
		if _, err = io.ReadFull(conn, answer); err == nil && binary.BigEndian.Uint64(answer) == n {
			t.exchanged.Add(1)
			return
		}
	}
	t.note(&t.missed, at, err)
}

// keepTCP exchanges messages on one stream, which has to be there from the
// beginning to the end. TCP repeats what is lost: a message is missed if that
// does not help.
func (t *Traffic) keepTCP(to netip.AddrPort) error {
	conn, err := t.dial(to)
	if err != nil {
		return fmt.Errorf("open kept stream: %w", err)
	}
	defer conn.Close()
	return t.paced(func(n uint64) error {
		t.exchange(conn, n)
		return nil
	})
}

// dial goes on until the policies let it through.
func (t *Traffic) dial(to netip.AddrPort) (conn net.Conn, err error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-t.stop:
			return nil, net.ErrClosed
		default:
		}
		if conn, err = net.DialTimeout("tcp", to.String(), time.Second); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// serveStream sends back what comes on streams.
func (t *Traffic) serveStream() {
	for {
		conn, err := t.stream.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.fail(fmt.Errorf("accept in server: %w", err))
			return
		}
		t.running.Go(func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn) // the client notes what is missing
		})
	}
}
