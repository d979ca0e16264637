package kerneltest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Talk is a connection between two real sockets.
type Talk struct {
	t              testing.TB
	denied         func() uint64
	client, server *end
	serial         int
}

// end is one end of a talk. Every message is a line.
type end struct {
	write func(string) error
	lines chan string
}

// Connect opens a connection from a place to a server on a port at another,
// which it reaches by the given address, that may be a service's. denied counts
// what the tables drop.
func (w *World) Connect(t testing.TB, denied func() uint64, protocol traffic.Protocol, from, to string, dest netip.AddrPort, port uint16) *Talk {
	t.Helper()
	talk := &Talk{t: t, denied: denied}
	var err error
	if protocol == traffic.TCP {
		err = talk.tcp(w, from, to, dest, port)
	} else {
		err = talk.udp(w, from, to, dest, port)
	}
	if err != nil {
		t.Fatalf("connect %s to %s by %s: %v", from, to, dest, err)
	}
	return talk
}

func (k *Talk) tcp(w *World, from, to string, dest netip.AddrPort, port uint16) error {
	l, err := w.ListenTCP(to, dest.Addr().Is4(), port)
	if err != nil {
		return err
	}
	defer l.Close()
	client, err := w.DialTCP(from, dest)
	if err != nil {
		return err
	}
	k.t.Cleanup(func() { reset(client) })
	server, err := l.Accept()
	if err != nil {
		return err
	}
	k.t.Cleanup(func() { reset(server) })
	k.client, k.server = streamEnd(client), streamEnd(server)
	return nil
}

// reset closes a connection without waiting for the other end, which may be out
// of reach.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// ListenTCP listens on a port at a place.
func (w *World) ListenTCP(place string, v4 bool, port uint16) (net.Listener, error) {
	var l net.Listener
	err := w.Place(place).Do(func() error {
		var err error
		l, err = net.Listen(networkOf("tcp", v4), fmt.Sprintf(":%d", port))
		return err
	})
	return l, err
}

// DialTCP connects from a place; it takes as long as TCP takes.
func (w *World) DialTCP(place string, dest netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	err := w.Place(place).Do(func() error {
		dialer := net.Dialer{Timeout: patience}
		var err error
		conn, err = dialer.Dial("tcp", dest.String())
		return err
	})
	return conn, err
}

func networkOf(name string, v4 bool) string {
	if v4 {
		return name + "4"
	}
	return name + "6"
}

func streamEnd(conn net.Conn) *end {
	e := &end{lines: make(chan string, 1024)}
	e.write = func(s string) error {
		_, err := conn.Write([]byte(s + "\n"))
		return err
	}
	go func() {
		defer close(e.lines)
		for scanner := bufio.NewScanner(conn); scanner.Scan(); {
			e.lines <- scanner.Text()
		}
	}()
	return e
}

// udp needs a first message, so that the server knows whom to answer.
func (k *Talk) udp(w *World, from, to string, dest netip.AddrPort, port uint16) error {
	var server *net.UDPConn
	err := w.Place(to).Do(func() error {
		var err error
		server, err = net.ListenUDP(networkOf("udp", dest.Addr().Is4()), &net.UDPAddr{Port: int(port)})
		return err
	})
	if err != nil {
		return err
	}
	k.t.Cleanup(func() { server.Close() })
	var client net.Conn
	err = w.Place(from).Do(func() error {
		var err error
		client, err = net.Dial("udp", dest.String())
		return err
	})
	if err != nil {
		return err
	}
	k.t.Cleanup(func() { client.Close() })
	if _, err := client.Write([]byte("first")); err != nil {
		return err
	}
	_ = server.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 64)
	_, peer, err := server.ReadFromUDPAddrPort(buffer)
	if err != nil {
		return err
	}
	_ = server.SetReadDeadline(time.Time{})
	k.client = datagramEnd(client, func(s string) error {
		_, err := client.Write([]byte(s))
		return err
	})
	k.server = datagramEnd(server, func(s string) error {
		_, err := server.WriteToUDPAddrPort([]byte(s), peer)
		return err
	})
	return nil
}

func datagramEnd(conn net.Conn, write func(string) error) *end {
	e := &end{write: write, lines: make(chan string, 1024)}
	go func() {
		defer close(e.lines)
		buffer := make([]byte, 2048)
		for {
			n, err := conn.Read(buffer)
			switch {
			case errors.Is(err, unix.ECONNREFUSED):
			case err != nil:
				return
			default:
				e.lines <- string(buffer[:n])
			}
		}
	}()
	return e
}

// Passes sends a message each way and waits until it is there.
func (k *Talk) Passes() {
	k.t.Helper()
	k.passes(k.client, k.server, "to the server")
	k.passes(k.server, k.client, "to the client")
}

func (k *Talk) passes(from, to *end, what string) {
	k.t.Helper()
	text := k.say(from)
	deadline := time.After(patience)
	for {
		select {
		case got, ok := <-to.lines:
			if !ok {
				k.t.Fatalf("message %s: the connection is closed", what)
			}
			if got == text {
				return
			}
		case <-deadline:
			k.t.Fatalf("message %s: did not arrive", what)
		}
	}
}

// Stops sends a message each way and waits until it is counted as denied.
func (k *Talk) Stops() {
	k.t.Helper()
	k.StopsToServer()
	k.StopsToClient()
}

// StopsToServer is Stops for one way.
func (k *Talk) StopsToServer() {
	k.t.Helper()
	k.stops(k.client, k.server, "to the server")
}

// StopsToClient is Stops for the other way.
func (k *Talk) StopsToClient() {
	k.t.Helper()
	k.stops(k.server, k.client, "to the client")
}

func (k *Talk) stops(from, to *end, what string) {
	k.t.Helper()
	before := k.denied()
	text := k.say(from)
	for deadline := time.Now().Add(patience); k.denied() == before; {
		if time.Now().After(deadline) {
			k.t.Fatalf("message %s: was not counted as denied", what)
		}
		k.mustNotHave(to, text, what)
	}
	k.mustNotHave(to, text, what)
}

func (k *Talk) mustNotHave(to *end, text, what string) {
	k.t.Helper()
	for {
		select {
		case got := <-to.lines:
			if got == text {
				k.t.Fatalf("message %s: arrived", what)
			}
		default:
			return
		}
	}
}

func (k *Talk) say(from *end) string {
	k.t.Helper()
	k.serial++
	text := fmt.Sprintf("message %d", k.serial)
	if err := from.write(text); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		k.t.Fatalf("send: %v", err)
	}
	return text
}
