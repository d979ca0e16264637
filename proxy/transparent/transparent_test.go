package transparent_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/proxy/proxytest"
	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

const patience = 5 * time.Second

// node is the first node of a world, with tables that have TCP 80 and UDP 53 of
// pod a inspected, and the sockets of a proxy.
type node struct {
	*kerneltest.World
	transparent.Sockets
	streams []net.Listener
	packets []*transparent.Packets
}

func newNode(t *testing.T) *node {
	n := &node{}
	n.World, n.Sockets = proxytest.NewWorld(t)
	var http, dns uint16
	var err error
	if n.streams, http, err = n.Streams(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n.packets, dns, err = n.Datagrams(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range n.streams {
			n.streams[i].Close()
			n.packets[i].Close()
		}
	})
	proxytest.Enforce(t, n.World, n.Sockets, nft.Proxy{HTTP: http, DNS: dns}, map[plan.Row]traffic.Verdict{
		proxytest.To(traffic.TCP, 80): traffic.InspectHTTP, proxytest.To(traffic.TCP, 81): traffic.Allow,
		proxytest.To(traffic.UDP, 53): traffic.InspectDNS,
	})
	return n
}

// say serves one connection: it sends a line and reads one.
func say(c net.Conn, line string) (string, error) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// TestStreams: pod a believes to talk to pod c, and c to a; the proxy is between.
// Pod b on the node is another such c.
func TestStreams(t *testing.T) {
	n := newNode(t)
	for _, to := range []string{"b", "c"} {
		for i, dest := range n.Both(to) {
			t.Run(fmt.Sprintf("%s %s", to, dest), func(t *testing.T) {
				server, err := n.ListenTCP(to, dest.Is4(), 80)
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				failed := make(chan error, 2)
				go func() { failed <- n.relay(t.Context(), n.streams[i]) }()
				go func() {
					c, err := server.Accept()
					if err != nil {
						failed <- err
						return
					}
					if from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(); from != n.Both("a")[i] {
						err = fmt.Errorf("the server sees %s", from)
					}
					if _, sayErr := say(c, "from the server"); err == nil {
						err = sayErr
					}
					failed <- err
				}()
				c, err := n.DialTCP("a", netip.AddrPortFrom(dest, 80))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := say(c, "from the client"); got != "proxied: from the server\n" {
					t.Errorf("the client got %q, %v", got, err)
				}
				for range 2 {
					if err := <-failed; err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// relay takes one connection, opens the one that its client wanted in the client's
// name, and passes a line on each way.
func (n *node) relay(ctx context.Context, l net.Listener) error {
	client, err := l.Accept()
	if err != nil {
		return err
	}
	defer client.Close()
	from, to := client.RemoteAddr().(*net.TCPAddr).AddrPort(), client.LocalAddr().(*net.TCPAddr).AddrPort()
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	server, err := n.Dial(ctx, from.Addr(), to)
	if err != nil {
		return err
	}
	defer server.Close()
	for _, way := range []struct {
		from, to net.Conn
		mark     string
	}{{client, server, ""}, {server, client, "proxied: "}} {
		way.from.SetDeadline(time.Now().Add(patience))
		line, err := bufio.NewReader(way.from).ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := fmt.Fprint(way.to, way.mark+line); err != nil {
			return err
		}
	}
	return nil
}

// TestDatagrams: the proxy asks c in a's name, and answers a in c's.
func TestDatagrams(t *testing.T) {
	n := newNode(t)
	for i, dest := range n.Both("c") {
		t.Run(dest.String(), func(t *testing.T) {
			server := n.udp(t, "c", netip.AddrPortFrom(dest, 53), netip.AddrPort{})
			client := n.udp(t, "a", netip.AddrPort{}, netip.AddrPortFrom(dest, 53))
			send(t, client, "question")
			buffer := make([]byte, 100)
			size, from, to, err := n.packets[i].Read(buffer)
			if err != nil || string(buffer[:size]) != "question" || to != netip.AddrPortFrom(dest, 53) || from.Addr() != n.Both("a")[i] {
				t.Fatalf("the proxy read %q from %s to %s, %v", buffer[:size], from, to, err)
			}
			upstream, err := n.Ask(t.Context(), from.Addr(), to)
			if err != nil {
				t.Fatal(err)
			}
			defer upstream.Close()
			send(t, upstream, "question")
			_, asker, err := server.ReadFromUDPAddrPort(buffer)
			if err != nil || asker.Addr().Unmap() != from.Addr() {
				t.Fatalf("the server is asked by %s, %v", asker, err)
			}
			if _, err := server.WriteToUDPAddrPort([]byte("answer"), asker); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, upstream); got != "answer" {
				t.Fatalf("the proxy got %q", got)
			}
			as, err := n.Answer(t.Context(), to)
			if err != nil {
				t.Fatal(err)
			}
			defer as.Close()
			if _, err := as.WriteToUDPAddrPort([]byte("answer"), from); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, client); got != "answer" {
				t.Fatalf("the client got %q", got)
			}
		})
	}
}

func (n *node) udp(t *testing.T, place string, local, remote netip.AddrPort) (c *net.UDPConn) {
	err := n.Place(place).Do(func() (err error) {
		if remote.IsValid() {
			c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
		} else {
			c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(local))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c *net.UDPConn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *net.UDPConn) string {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	buffer := make([]byte, 100)
	n, err := c.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// TestWithoutAProxyNothingPasses: the tables deny what nobody takes.
func TestWithoutAProxyNothingPasses(t *testing.T) {
	n := newNode(t)
	for i := range n.streams {
		n.streams[i].Close()
	}
	for port, open := range map[uint16]bool{80: false, 81: true} {
		l, err := n.ListenTCP("c", true, port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := n.DialTCP("a", netip.AddrPortFrom(n.V4("c"), port))
		if err == nil {
			c.Close()
		}
		if (err == nil) != open {
			t.Errorf("port %d: %v", port, err)
		}
	}
}

func TestRoutesComeAndGo(t *testing.T) {
	n := newNode(t)
	for range 2 {
		if err := n.Route(); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := n.Unroute(); err != nil {
			t.Error(err)
		}
	}
}
