package listen

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// loopback is a namespace whose loopback device is up.
func loopback(t *testing.T) *space.Space {
	t.Helper()
	s, err := space.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h, err := s.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(s *space.Space, network, address string) (conn net.Conn, err error) {
	err = s.Do(func() error {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial(network, address)
		return err
	})
	if err == nil {
		conn.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return conn, err
}

// client is an HTTP client in a namespace, which believes any certificate.
func client(s *space.Space) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return dial(s, network, address)
		},
	}}
}

func openStream(t *testing.T, s *space.Space, port uint16, serve Stream) Listener {
	t.Helper()
	l, err := OpenStream(s, traffic.TCP, port, serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestGreeterOverTCP(t *testing.T) {
	s := loopback(t)
	openStream(t, s, 8080, Greeter{"shop/backend TCP 8080"}.Stream)
	for host, want := range map[string]string{
		"127.0.0.1:8080": "shop/backend TCP 8080 from 127.0.0.1\n",
		"[::1]:8080":     "shop/backend TCP 8080 from ::1\n",
	} {
		t.Run("asked "+host, func(t *testing.T) {
			conn, err := dial(s, "tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for range 2 { // every line is answered
				io.WriteString(conn, "hello\n")
				if got, err := r.ReadString('\n'); got != want || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
		t.Run("unasked "+host, func(t *testing.T) {
			conn, err := dial(s, "tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if got, err := bufio.NewReader(conn).ReadString('\n'); got != want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+host, func(t *testing.T) {
				response, err := client(s).Get(scheme + "://" + host + "/path")
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if got, err := io.ReadAll(response.Body); string(got) != want || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
}

func TestGreeterOverUDP(t *testing.T) {
	s := loopback(t)
	l, err := OpenDatagram(s, 53, Greeter{"shop/dns UDP 53"}.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for host, want := range map[string]string{
		"127.0.0.1:53": "shop/dns UDP 53 from 127.0.0.1\n",
		"127.0.0.2:53": "shop/dns UDP 53 from 127.0.0.1\n", // answered from 127.0.0.2
		"[::1]:53":     "shop/dns UDP 53 from ::1\n",
	} {
		conn, err := dial(s, "udp", host) // connected: an answer from elsewhere would not arrive
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "hello")
		buffer := make([]byte, 100)
		n, err := conn.Read(buffer)
		if got := string(buffer[:n]); got != want || err != nil {
			t.Errorf("%s: got %q, %v", host, got, err)
		}
	}
}

func TestIdleMeansAnswered(t *testing.T) {
	s := loopback(t)
	taken, release := make(chan bool), make(chan bool)
	l, err := OpenDatagram(s, 9, func([]byte, netip.AddrPort, netip.AddrPort) []byte {
		taken <- true
		<-release
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dial(s, "udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	check := func(want bool, when string) {
		t.Helper()
		if idle, err := l.Idle(); idle != want || err != nil {
			t.Errorf("%s: idle %v, %v", when, idle, err)
		}
	}
	io.WriteString(conn, "one")
	<-taken
	check(false, "while one is handled")
	io.WriteString(conn, "two")
	release <- true
	<-taken
	check(false, "while the second is handled")
	release <- true
	for idle := false; !idle; {
		if idle, err = l.Idle(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseEndsConnections(t *testing.T) {
	s := loopback(t)
	l := openStream(t, s, 22, SSH)
	conn, err := dial(s, "tcp", "127.0.0.1:22")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if banner, err := r.ReadString('\n'); !strings.HasPrefix(banner, "SSH-2.0-") || err != nil {
		t.Errorf("got %q, %v", banner, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection is still open: %v", err)
	}
	if _, err := dial(s, "tcp", "127.0.0.1:22"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the port is still open: %v", err)
	}
}

func TestTakenPort(t *testing.T) {
	s := loopback(t)
	openStream(t, s, 80, SSH)
	if _, err := OpenStream(s, traffic.TCP, 80, SSH); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

func TestSCTPIsServedOrSaidToBeMissing(t *testing.T) {
	s := loopback(t)
	l, err := OpenStream(s, traffic.SCTP, 7, Greeter{"x SCTP 7"}.Stream)
	if errors.Is(err, ErrUnsupported) {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, int(traffic.SCTP))
		if err == nil {
			t.Fatal("the kernel has SCTP, but the listener says that it has not")
		}
		t.Logf("no SCTP on this kernel: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
