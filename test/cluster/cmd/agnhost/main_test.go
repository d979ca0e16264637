package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

func init() { runtime.LockOSThread() }

func TestParseConnect(t *testing.T) {
	for _, c := range []struct {
		args, protocol, target string
		timeout                time.Duration
		ok                     bool
	}{
		{"10.0.0.1:80 --timeout=3s --protocol=sctp", "sctp", "10.0.0.1:80", 3 * time.Second, true},
		{"--protocol udp --timeout 3s [fd00::1]:80", "udp", "[fd00::1]:80", 3 * time.Second, true},
		{"10.0.0.1:80", "tcp", "10.0.0.1:80", 0, true},
		{"10.0.0.1:80 --protocol=dccp", "", "", 0, false},
		{"10.0.0.1:80 --unknown", "", "", 0, false},
		{"10.0.0.1:80 10.0.0.1:81", "", "", 0, false},
		{"--protocol=sctp", "", "", 0, false},
	} {
		r, ok := parseConnect(strings.Fields(c.args))
		if r.protocol != c.protocol || r.target != c.target || r.timeout != c.timeout || ok != c.ok {
			t.Errorf("%s: got %+v, %v", c.args, r, ok)
		}
	}
}

func TestSCTPPorts(t *testing.T) {
	values, rest := sctpPorts([]string{"PATH=/bin", "SERVE_SCTP_PORT_80=foo", "SERVE_PORT_80=bar", "SERVE_SCTP_PORT_81=", "SERVE_SCTP_PORT_x=y"})
	if want := map[uint16]string{80: "foo", 81: ""}; !maps.Equal(values, want) {
		t.Errorf("ports are %v, not %v", values, want)
	}
	if want := []string{"PATH=/bin", "SERVE_PORT_80=bar", "SERVE_SCTP_PORT_x=y"}; !slices.Equal(rest, want) {
		t.Errorf("the rest is %v, not %v", rest, want)
	}
}

// TestConnectIsTheRealOne asks both the same and compares exit code and the word
// that the answer begins with.
func TestConnectIsTheRealOne(t *testing.T) {
	cache, err := binaries.DefaultCache(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	view := network(t)
	tcp, udp := servers(t, view)
	ask := func(program string, args ...string) string {
		path, err := cache.Program(t.Context(), program)
		if err != nil {
			t.Fatal(err)
		}
		return answer(t, view, exec.Command(path, append([]string{"connect"}, args...)...))
	}
	for _, c := range []struct{ name, args, want string }{
		{"tcp served", "--protocol=tcp --timeout=10s " + tcp, "0 "},
		{"tcp closed", "--protocol=tcp --timeout=10s 127.0.0.1:1", "1 REFUSED"},
		{"tcp silent", "--protocol=tcp --timeout=50ms 192.0.2.1:80", "1 TIMEOUT"},
		{"tcp unreachable", "--protocol=tcp --timeout=10s 198.51.100.1:80", "1 OTHER"},
		{"tcp without port", "--protocol=tcp --timeout=10s 127.0.0.1", "1 UNKNOWN"},
		{"tcp bad name", "--protocol=tcp --timeout=10s a..b:80", "1 DNS"},
		{"udp served", "--protocol=udp --timeout=10s " + udp, "0 "},
		{"udp closed", "--protocol=udp --timeout=10s 127.0.0.1:1", "1 REFUSED"},
		{"udp silent", "--protocol=udp --timeout=50ms 192.0.2.1:80", "1 TIMEOUT"},
		{"udp bad name", "--protocol=udp --timeout=10s a..b:80", "1 DNS"},
		{"udp unreachable", "--protocol=udp --timeout=10s 198.51.100.1:80", "1 OTHER"},
	} {
		front, theirs := ask("agnhost", strings.Fields(c.args)...), ask("agnhost.real", strings.Fields(c.args)...)
		if front != c.want || theirs != c.want {
			t.Errorf("%s: the front says %q, the real one %q, expected %q", c.name, front, theirs, c.want)
		}
	}
}

func TestConnectAllIsManyConnects(t *testing.T) {
	cache, err := binaries.DefaultCache(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	front, err := cache.Program(t.Context(), "agnhost")
	if err != nil {
		t.Fatal(err)
	}
	view := network(t)
	tcp, udp := servers(t, view)
	want := map[string]string{"tcp " + tcp: "", "udp " + udp: "", "tcp 127.0.0.1:1": "REFUSED", "tcp 192.0.2.1:80": "TIMEOUT",
		"udp 192.0.2.1:80": "TIMEOUT", "sctp 192.0.2.1:80": "TIMEOUT", "dccp 127.0.0.1:1": "OTHER"}
	var all batch
	for key := range want {
		protocol, address, _ := strings.Cut(key, " ")
		host, number, _ := net.SplitHostPort(address)
		port, _ := strconv.Atoi(number)
		all.Requests = append(all.Requests, target{Key: key, Protocol: strings.ToUpper(protocol), Host: host, Port: port})
	}
	jobs, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), front, "connect-all", "--timeout=2s", "--jobs", string(jobs))
	cmd.Stdout, cmd.Stderr = &output, os.Stderr
	if err := view.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(output.Bytes(), &results); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range results {
		got[r.Request.Key], _, _ = strings.Cut(r.Error, ":")
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, not %v", got, want)
	}
}

// network has a loopback device, and 192.0.2.0/24 where packets vanish.
func network(t *testing.T) ns.View {
	t.Helper()
	view, err := ns.New(ns.View{}, unix.CLONE_NEWNET, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "void"
		address, err := netlink.ParseAddr("192.0.2.2/24")
		if err != nil {
			return err
		}
		void := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}
		if err := netlink.LinkAdd(void); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(void, address), netlink.LinkSetUp(void), netlink.LinkSetUp(lo))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { view.Close() })
	return view
}

func servers(t *testing.T, view ns.View) (tcp, udp string) {
	t.Helper()
	if err := view.Do(func() error {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { listener.Close() })
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { packets.Close() })
		go echo(packets)
		tcp, udp = listener.Addr().String(), packets.LocalAddr().String()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return tcp, udp
}

func echo(packets net.PacketConn) {
	buffer := make([]byte, 64)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		packets.WriteTo(buffer[:n], from)
	}
}

// answer is the exit code and the first word, up to its colon.
func answer(t *testing.T, view ns.View, cmd *exec.Cmd) string {
	t.Helper()
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := view.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	cmd.Wait()
	word, _, _ := strings.Cut(strings.TrimSpace(errors.String()), ":")
	return string(rune('0'+cmd.ProcessState.ExitCode())) + " " + word
}
