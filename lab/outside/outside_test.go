package outside

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/network"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

var podName = cluster.Name{Namespace: "x", Name: "a"}

// onePod is a network with one pod and an open outside host.
func onePod(t *testing.T) *network.Network {
	t.Helper()
	n, err := network.New(network.Routed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.AddNode(&cluster.Node{Name: "n1", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.2")}}); err != nil {
		t.Fatal(err)
	}
	pod := &cluster.Pod{Name: podName, Node: "n1", Addrs: []netip.Addr{
		netip.MustParseAddr("10.244.1.10"), netip.MustParseAddr("fd00:244:1::10"),
	}}
	if err := n.AddPod(pod); err != nil {
		t.Fatal(err)
	}
	h, err := Open(n.Outside(), func(netip.Addr) string { return "n1" })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return n
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

func TestAnswersEverywhere(t *testing.T) {
	n := onePod(t)
	for _, row := range []struct{ network, address, want string }{
		{"tcp", "192.0.2.1:443", "ip/192.0.2.1 TCP 443 from 10.244.1.10\n"},
		{"tcp", "8.8.8.8:1", "ip/8.8.8.8 TCP 1 from 10.244.1.10\n"},
		{"tcp", "[2001:db8::77]:80", "ip/2001:db8::77 TCP 80 from fd00:244:1::10\n"},
		{"tcp", "169.254.169.254:81", "ip/169.254.169.254 TCP 81 from 10.244.1.10\n"},
		{"udp", "203.0.113.10:53", "ip/203.0.113.10 UDP 53 from 10.244.1.10\n"},
		{"udp", "[2001:db8::77]:65535", "ip/2001:db8::77 UDP 65535 from fd00:244:1::10\n"},
	} {
		conn, err := dial(n.Pod(podName), row.network, row.address)
		if err != nil {
			t.Errorf("%s: %v", row.address, err)
			continue
		}
		defer conn.Close()
		io.WriteString(conn, "hello\n")
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != row.want || err != nil {
			t.Errorf("%s: got %q, %v", row.address, got, err)
		}
	}
}

func TestOwnConnectionsAreLeftAlone(t *testing.T) {
	n := onePod(t)
	streams, err := listen.OpenStream(n.Pod(podName), traffic.TCP, 80, listen.Greeter{Name: "x/a TCP 80"}.Stream)
	if err != nil {
		t.Fatal(err)
	}
	defer streams.Close()
	datagrams, err := listen.OpenDatagram(n.Pod(podName), 53, listen.Greeter{Name: "x/a UDP 53"}.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	for network, row := range map[string][2]string{
		"tcp": {"10.244.1.10:80", "x/a TCP 80 from 192.0.2.1\n"},
		"udp": {"10.244.1.10:53", "x/a UDP 53 from 192.0.2.1\n"},
	} {
		conn, err := dial(n.Outside(), network, row[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "hello\n")
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != row[1] || err != nil {
			t.Errorf("%s: got %q, %v", network, got, err)
		}
	}
}

func TestUnconnectedSocketGetsItsReply(t *testing.T) {
	n := onePod(t)
	l, err := listen.OpenDatagram(n.Pod(podName), 53, listen.Greeter{Name: "x/a UDP 53"}.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var conn net.PacketConn
	if err := n.Outside().Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", "198.51.100.7:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.244.1.10:53"))); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	count, _, err := conn.ReadFrom(buffer)
	if got := string(buffer[:count]); got != "x/a UDP 53 from 198.51.100.7\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMetadata(t *testing.T) {
	n := onePod(t)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return dial(n.Pod(podName), network, address)
		},
	}}
	const instance = "/metadata/instance?api-version=2021-02-01"
	for _, row := range []struct {
		path, header, value string
		status              int
		key                 string
	}{
		{instance, "Metadata", "true", 200, "compute"},
		{"/metadata/versions", "Metadata", "true", 200, "apiVersions"},
		{"/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x", "Metadata", "true", 200, "access_token"},
		{instance, "", "", 400, "error"},
		{"/metadata/instance", "Metadata", "true", 400, "newest-versions"},
		{"/metadata/other?api-version=2021-02-01", "Metadata", "true", 404, "error"},
	} {
		request, err := http.NewRequest("GET", "http://169.254.169.254"+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if row.header != "" {
			request.Header.Set(row.header, row.value)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", row.path, err)
			continue
		}
		var body map[string]any
		err = json.NewDecoder(response.Body).Decode(&body)
		response.Body.Close()
		if _, ok := body[row.key]; err != nil || !ok || response.StatusCode != row.status {
			t.Errorf("%s: status %d, %v, %v; want %d and %q", row.path, response.StatusCode, body, err, row.status, row.key)
		}
		if compute, ok := body["compute"].(map[string]any); ok && compute["name"] != "n1" {
			t.Errorf("%s: the node is %v", row.path, compute["name"])
		}
	}
}

func TestMetadataRefusesProxies(t *testing.T) {
	n := onePod(t)
	conn, err := dial(n.Pod(podName), "tcp", "169.254.169.254:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /metadata/versions HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
	if status, err := bufio.NewReader(conn).ReadString('\n'); status != "HTTP/1.1 400 Bad Request\r\n" || err != nil {
		t.Errorf("got %q, %v", status, err)
	}
}
