package nri

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func sandbox(namespace, name string, addrs ...string) []byte {
	b := text(nil, 1, "id")
	b = text(b, fieldPodName, name)
	b = text(b, fieldPodNamespace, namespace)
	b = number(b, 9, 4711) // its process
	for _, a := range addrs {
		b = text(b, fieldPodAddrs, a)
	}
	return b
}

func TestPodsAreRead(t *testing.T) {
	for _, row := range []struct {
		why  string
		b    []byte
		want Pod
	}{
		{"two addresses", sandbox("a", "web", "10.0.0.7", "fd00::7"), Pod{"a", "web", addrs("10.0.0.7", "fd00::7")}},
		{"none", sandbox("a", "web"), Pod{"a", "web", nil}},
		{"not an address", sandbox("a", "web", "?", "10.0.0.7"), Pod{"a", "web", addrs("10.0.0.7")}},
		{"IPv4 as IPv6", sandbox("a", "web", "::ffff:10.0.0.7"), Pod{"a", "web", addrs("10.0.0.7")}},
		{"nothing", nil, Pod{}},
	} {
		if got := podOf(row.b); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %+v, want %+v", row.why, got, row.want)
		}
	}
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

// runtime is one that says what a test wants.
type runtime struct {
	*session
	t *testing.T
}

// begin runs a plugin against a runtime.
func begin(t *testing.T, options Options) (*runtime, <-chan error) {
	t.Helper()
	options.Socket = filepath.Join(t.TempDir(), "nri.sock")
	listener, err := net.Listen("unix", options.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), options) }()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &runtime{&session{conn: conn}, t}, ended
}

// next is the next message of the plugin.
func (r *runtime) next() (conn uint32, got message) {
	r.t.Helper()
	enough := errors.New("enough")
	if err := r.receive(func(c uint32, m message) error { conn, got = c, m; return enough }); !errors.Is(err, enough) {
		r.t.Fatal(err)
	}
	return conn, got
}

func call(method string, payload []byte) []byte {
	return text(text(text(nil, fieldService, "nri.pkg.api.v1alpha1.Plugin"), fieldMethod, method), fieldPayload, string(payload))
}

func TestTheEndOfAConnectionEndsTheSession(t *testing.T) {
	r, ended := begin(t, Options{})
	if conn, m := r.next(); conn != connRuntime || !bytes.Contains(m.body, []byte("RegisterPlugin")) {
		t.Errorf("first message on connection %d is %q", conn, m.body)
	}
	r.conn.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "listen to runtime") {
		t.Errorf("ended with %v", err)
	}
}

func TestARefusalEndsTheSession(t *testing.T) {
	r, ended := begin(t, Options{})
	r.next()
	status := text(number(nil, fieldCode, 7), fieldText, "no plugins here")
	if err := r.send(connRuntime, 1, typeResponse, text(nil, fieldStatus, string(status))); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "no plugins here (code 7)") {
		t.Errorf("ended with %v", err)
	}
}

// Runtimes before calls of their own told of pods by StateChange; a call that
// nobody knows is answered as well.
func TestOtherRuntimes(t *testing.T) {
	started, stopped := make(chan Pod, 1), make(chan Pod, 1)
	r, _ := begin(t, Options{Started: func(_ context.Context, p Pod) { started <- p }, Stopped: func(p Pod) { stopped <- p }})
	r.next()
	for i, step := range []struct {
		event uint64
		to    <-chan Pod
	}{{eventRunPod, started}, {eventStopPod, stopped}, {eventRemovePod, stopped}} {
		event := text(number(nil, fieldEvent, step.event), fieldEventPod, string(sandbox("a", "web", "10.0.0.7")))
		if err := r.send(connPlugin, uint32(2*i+1), typeRequest, call("StateChange", event)); err != nil {
			t.Fatal(err)
		}
		if got := <-step.to; got.Name != "web" || len(got.Addrs) != 1 {
			t.Errorf("event %d: told of %+v", step.event, got)
		}
		if conn, m := r.next(); conn != connPlugin || m.stream != uint32(2*i+1) || failure(m.body) != "" {
			t.Errorf("event %d: answer %+v on connection %d", step.event, m, conn)
		}
	}
	if err := r.send(connPlugin, 99, typeRequest, call("Dance", nil)); err != nil {
		t.Fatal(err)
	}
	if _, m := r.next(); m.stream != 99 || !strings.Contains(failure(m.body), "Dance") {
		t.Errorf("answer %+v to a call that nobody knows", m)
	}
}

// A message may be spread over frames, and a frame hold several.
func TestMessagesInPieces(t *testing.T) {
	started := make(chan Pod, 2)
	r, _ := begin(t, Options{Started: func(_ context.Context, p Pod) { started <- p }})
	r.next()
	recorder := &session{conn: &writer{}}
	for _, name := range []string{"one", "two"} {
		if err := recorder.send(connPlugin, 1, typeRequest, call("RunPodSandbox", text(nil, fieldRequestPod, string(sandbox("a", name))))); err != nil {
			t.Fatal(err)
		}
	}
	var stream []byte
	for _, frame := range recorder.conn.(*writer).frames {
		stream = append(stream, frame[frameHead:]...)
	}
	for len(stream) > 0 {
		n := min(7, len(stream))
		frame := append([]byte{0, 0, 0, connPlugin, 0, 0, 0, byte(n)}, stream[:n]...)
		if _, err := r.conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	got := map[string]bool{(<-started).Name: true, (<-started).Name: true}
	if !got["one"] || !got["two"] {
		t.Errorf("told of %v", got)
	}
}

// writer keeps what is written.
type writer struct {
	net.Conn
	frames [][]byte
}

func (w *writer) Write(b []byte) (int, error) {
	w.frames = append(w.frames, bytes.Clone(b))
	return len(b), nil
}

func TestWhatIsNotNRIEndsTheSession(t *testing.T) {
	for _, junk := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "\x00\x00\x00\x01\xff\xff\xff\xff", "\x00\x00\x00\x01\x00\x00\x00\x0a\xff\xff\xff\xff\x00\x00\x00\x00\x01\x00"} {
		r, ended := begin(t, Options{})
		r.next()
		if _, err := r.conn.Write([]byte(junk)); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "not NRI") {
			t.Errorf("%q ends with %v", junk, err)
		}
	}
}

// FuzzMessages: whatever comes is read without a panic.
func FuzzMessages(f *testing.F) {
	f.Add(call("RunPodSandbox", text(nil, fieldRequestPod, string(sandbox("a", "web", "10.0.0.7")))))
	f.Add(registration())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, payload := request(b)
		podsOf(payload)
		podIn(b, fieldEventPod)
		eventOf(b)
		failure(b)
		runtimeOf(b)
		_, n, err := parse(b)
		if err == nil && n > len(b) {
			t.Errorf("a message of %d bytes in %d", n, len(b))
		}
		each(b, func(field protowire.Number, _ []byte, _ uint64) {
			if field <= 0 {
				t.Errorf("field %d", field)
			}
		})
	})
}
