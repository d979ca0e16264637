package sctp

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	pion "github.com/pion/sctp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

func init() { runtime.LockOSThread() }

// inNetwork runs f in a network namespace that has a loopback device only.
func inNetwork(t *testing.T, f func() error) {
	t.Helper()
	v, err := ns.New(ns.View{}, unix.CLONE_NEWNET, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Do(f); err != nil {
		t.Error(err)
	}
}

func serve(t *testing.T, network string, ports ...uint16) {
	t.Helper()
	server := NewServer(func(port uint16, stream *pion.Stream) { stream.Write([]byte("hello")) }, ports...)
	socket, err := net.ListenIP(network, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go server.serve(socket)
}

func TestExchange(t *testing.T) {
	for _, c := range []struct{ network, address string }{{"ip4:132", "127.0.0.1:80"}, {"ip6:132", "[::1]:80"}} {
		t.Run(c.network, func(t *testing.T) {
			inNetwork(t, func() error {
				serve(t, c.network, 80)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				conn, err := Dial(ctx, c.address)
				if err != nil {
					return err
				}
				if _, err := conn.Write([]byte("foo\n")); err != nil {
					return err
				}
				answer := make([]byte, 16)
				n, err := conn.Read(answer)
				if got := string(answer[:n]); err != nil || got != "hello" {
					t.Errorf("answer is %q, %v", got, err)
				}
				return conn.Close(ctx)
			})
		})
	}
}

func TestWithoutServerItIsRefused(t *testing.T) {
	inNetwork(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// Not the dialler's own address, whose packets its own socket gets to see.
		if _, err := Dial(ctx, "127.0.0.2:81"); !errors.Is(err, ErrRefused) {
			t.Errorf("dialling without a server: %v", err)
		}
		return nil
	})
}

func TestServersShareAnAddress(t *testing.T) {
	inNetwork(t, func() error {
		serve(t, "ip4:132", 80)
		serve(t, "ip4:132", 81)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, address := range []string{"127.0.0.1:80", "127.0.0.1:81"} {
			conn, err := Dial(ctx, address)
			if err != nil {
				return err
			}
			if err := conn.Close(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestNobodyAnswers(t *testing.T) {
	inNetwork(t, func() error {
		// A raw socket that nobody reads swallows what the kernel would refuse.
		socket, err := net.ListenIP("ip4:132", nil)
		if err != nil {
			return err
		}
		defer socket.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := Dial(ctx, "127.0.0.1:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialling into silence: %v", err)
		}
		return nil
	})
}

func TestOneServerManyClients(t *testing.T) {
	inNetwork(t, func() error {
		serve(t, "ip4:132", 80, 81)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 20 {
			conn, err := Dial(ctx, "127.0.0.1:81")
			if err != nil {
				return err
			}
			if _, err := io.ReadAtLeast(conn, make([]byte, 16), len("hello")); err != nil {
				return err
			}
			if err := conn.Close(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
