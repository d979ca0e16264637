package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/dataplane/kerneltest"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/proxy/proxytest"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

const patience = 5 * time.Second

// rules is a policy.
type rules struct {
	atomic.Pointer[engine.Judgement]
}

func (r *rules) Judge(plan.Packet) engine.Judgement { return *r.Load() }

func allowing(t *testing.T, all ...l7.HTTP) *rules {
	t.Helper()
	rule := l7.Rule{By: "x/a"}
	for _, h := range all {
		made, err := l7.NewHTTP(h)
		if err != nil {
			t.Fatal(err)
		}
		rule.HTTP = append(rule.HTTP, made)
	}
	r := &rules{}
	r.Store(&engine.Judgement{Verdict: traffic.InspectHTTP, Filters: []l7.Filter{{Rules: []l7.Rule{rule}}}})
	return r
}

// node is pod a behind the proxy, and a server at c.
type node struct {
	*kerneltest.World
	server *Server
	seen   atomic.Int64 // requests at the server
	note   atomic.Pointer[Note]
}

func newNode(t *testing.T, policy Policy, handler http.Handler) *node {
	t.Helper()
	world, sockets := proxytest.NewWorld(t)
	n := &node{World: world}
	var err error
	if n.server, err = Listen(t.Context(), Options{Policy: policy, Sockets: sockets, Patience: patience, Note: func(note Note) { n.note.Store(&note) }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.server.Close(); err != nil {
			t.Error(err)
		}
	})
	proxytest.Enforce(t, world, sockets, nft.Proxy{HTTP: n.server.Port()}, map[plan.Row]traffic.Verdict{proxytest.To(traffic.TCP, 80): traffic.InspectHTTP})
	n.listen(t, handler)
	return n
}

func (n *node) listen(t *testing.T, handler http.Handler) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.seen.Add(1)
		handler.ServeHTTP(w, r)
	})}
	for _, v4 := range []bool{true, false} {
		l, err := n.ListenTCP("c", v4, 80)
		if err != nil {
			t.Fatal(err)
		}
		go server.Serve(l)
	}
	t.Cleanup(func() { server.Close() })
}

func (n *node) dial(t *testing.T, dest netip.Addr) *net.TCPConn {
	t.Helper()
	c, err := n.DialTCP("a", netip.AddrPortFrom(dest, 80))
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// say sends bytes and reads the answers to the connection's end.
func (n *node) say(t *testing.T, text string) string {
	t.Helper()
	c := n.dial(t, n.V4("c"))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(c) // a reset is an end too
	return string(answer)
}

// echo tells what the server got.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "%s %s host %s from %s body %d %v\n", r.Method, r.RequestURI, r.Host, from, len(body), err)
})

const closing = "Host: c\r\nConnection: close\r\n\r\n"

func TestRequests(t *testing.T) {
	n := newNode(t, allowing(t, l7.HTTP{Method: "GET|POST", Path: `/products(/.*)?(\?.*)?`}), echo)
	for _, test := range []struct {
		name, request string
		status        string // empty: no answer
		has           string // in the answer
		passed        int64  // requests that the server sees
	}{
		{"allowed", "GET /products HTTP/1.1\r\n" + closing, "200", "GET /products host c from 10.1.1.10 body 0", 1},
		{"with a query", "GET /products?id=2%2F HTTP/1.1\r\n" + closing, "200", "/products?id=2%2F", 1},
		{"another method", "DELETE /products HTTP/1.1\r\n" + closing, "403", "denied by network policy", 0},
		{"another path", "GET /admin HTTP/1.1\r\n" + closing, "403", "", 0},
		{"HTTP/1.0", "GET /products HTTP/1.0\r\n\r\n", "200", "GET /products", 1},
		{"the form for proxies", "GET http://c/products HTTP/1.1\r\n" + closing, "200", "from 10.1.1.10", 1},
		{"a body with a length", "POST /products HTTP/1.1\r\nContent-Length: 5\r\n" + closing + "hello", "200", "body 5", 1},
		{"a chunked body", "POST /products HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + closing + "5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", "200", "body 5", 1},
		{"two, one behind the other", "GET /products/1 HTTP/1.1\r\nHost: c\r\n\r\nGET /products/2 HTTP/1.1\r\n" + closing, "200", "/products/2", 2},
		{"the second is denied", "GET /products HTTP/1.1\r\nHost: c\r\n\r\nGET /admin HTTP/1.1\r\n" + closing, "200", "403 Forbidden", 1},
		{"the first is denied", "GET /admin HTTP/1.1\r\nHost: c\r\n\r\nGET /products HTTP/1.1\r\n" + closing, "403", "GET /products host c", 1},
		{"a denied body", "POST /admin HTTP/1.1\r\nHost: c\r\nContent-Length: 40\r\n\r\nGET /products HTTP/1.1\r\nHost: c\r\n\r\n", "403", "", 0},

		{"both lengths", "POST /products HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n" + closing + "0\r\n\r\n", "400", "both", 0},
		{"two lengths", "POST /products HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n" + closing + "hello", "400", "more than one Content-Length", 0},
		{"a signed length", "POST /products HTTP/1.1\r\nContent-Length: +5\r\n" + closing + "hello", "400", "not a length", 0},
		{"another coding", "POST /products HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n" + closing, "400", "other than chunked", 0},
		{"two hosts", "GET /products HTTP/1.1\r\nHost: d\r\n" + closing, "400", "more than one Host", 0},
		{"no host", "GET /products HTTP/1.1\r\n\r\n", "400", "no Host", 0},
		{"another host in the target", "GET http://d/products HTTP/1.1\r\n" + closing, "400", "not that of Host", 0},
		{"a field that goes on", "GET /products HTTP/1.1\r\nX: a\r\n b\r\n" + closing, "400", "obs-fold", 0},
		{"a space before the colon", "GET /products HTTP/1.1\r\nHost : d\r\n" + closing, "400", "not NAME: VALUE", 0},
		{"a lone LF", "GET /products HTTP/1.1\r\nX: a\nY: b\r\n" + closing, "400", "control character", 0},
		{"a lone CR", "GET /products HTTP/1.1\r\nX: a\rY: b\r\n" + closing, "400", "control character", 0},
		{"a NUL", "GET /products HTTP/1.1\r\nX: a\x00\r\n" + closing, "400", "control character", 0},
		{"an escaped slash", "GET /products%2f..%2fadmin HTTP/1.1\r\n" + closing, "400", "escape", 0},
		{"dots", "GET /products/../admin HTTP/1.1\r\n" + closing, "400", "dot segment", 0},
		{"escaped dots", "GET /products/%2e%2e/admin HTTP/1.1\r\n" + closing, "400", "escape", 0},
		{"dots with a parameter", "GET /products/..;/admin HTTP/1.1\r\n" + closing, "400", "dot segment", 0},
		{"a backslash", `GET /products\admin HTTP/1.1` + "\r\n" + closing, "400", "character", 0},
		{"CONNECT", "CONNECT d:80 HTTP/1.1\r\n" + closing, "400", "CONNECT", 0},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "", 0},
		{"not HTTP", "\x16\x03\x01\x02\x00\r\n\r\n", "", "", 0},
		{"a bad chunk", "POST /products HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + closing + "5x\r\nhello\r\n0\r\n\r\n", "", "", 1},
		{"a chunk that is too long", "POST /products HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + closing + "4\r\nhello\r\n0\r\n\r\n", "", "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := n.seen.Load()
			answer := n.say(t, test.request)
			status := ""
			if words := strings.Fields(answer); len(words) > 1 {
				status = words[1]
			}
			if test.status != "" && status != test.status || !strings.Contains(answer, test.has) {
				t.Errorf("answer %q, want %s with %q", answer, test.status, test.has)
			}
			if test.status == "" && status == "200" {
				t.Errorf("answer %q, want none", answer)
			}
			if note := n.note.Load(); test.passed == 0 && (note.Refused == "" || note.Malformed == (test.status == "403")) {
				t.Errorf("noted: %+v", note)
			}
			if got := n.seen.Load() - before; got != test.passed {
				t.Errorf("the server saw %d requests, want %d", got, test.passed)
			}
		})
	}
}

func TestBothFamiliesKeepTheirAddresses(t *testing.T) {
	n := newNode(t, allowing(t, l7.HTTP{}), echo)
	for i, dest := range n.Both("c") {
		c := n.dial(t, dest)
		r := bufio.NewReader(c)
		for range 3 { // on one connection
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: c\r\n\r\n")
			answer, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || !strings.Contains(string(body), "from "+n.Both("a")[i].String()) {
				t.Errorf("%s: %q, %v", dest, body, err)
			}
		}
	}
}

// TestContinue: the server asks for the body only then.
func TestContinue(t *testing.T) {
	n := newNode(t, allowing(t, l7.HTTP{}), echo)
	c := n.dial(t, n.V4("c"))
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n%s", closing)
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	io.WriteString(c, "hello")
	rest, _ := io.ReadAll(r)
	if !strings.Contains(string(rest), "body 5") {
		t.Errorf("%q", rest)
	}
}

// TestABodyThatBreaksOff ends the request at the server too.
func TestABodyThatBreaksOff(t *testing.T) {
	ended := make(chan error, 1)
	n := newNode(t, allowing(t, l7.HTTP{}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	}))
	for _, length := range []string{"Content-Length: 9", "Transfer-Encoding: chunked"} {
		c := n.dial(t, n.V4("c"))
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: c\r\n%s\r\n\r\n3\r\nab", length)
		c.CloseWrite()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: the server took it for whole", length)
			}
		case <-time.After(patience):
			t.Errorf("%s: the server still waits", length)
		}
	}
}

// TestLargeBodies stream through both ways.
func TestLargeBodies(t *testing.T) {
	const size = 20 << 20
	n := newNode(t, allowing(t, l7.HTTP{}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		io.Copy(w, r.Body)
	}))
	for _, query := range []string{"length", "chunked"} {
		c := n.dial(t, n.V4("c"))
		c.SetDeadline(time.Now().Add(10 * patience))
		request, err := http.NewRequest("POST", "http://c/?"+query, io.LimitReader(bytes.NewReader(bytes.Repeat([]byte("0123456789abcdef"), size/16)), size))
		if err != nil {
			t.Fatal(err)
		}
		if query == "length" {
			request.ContentLength = size
		}
		go request.Write(c)
		answer, err := http.ReadResponse(bufio.NewReader(c), request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.Copy(io.Discard, answer.Body)
		if err != nil || got != size {
			t.Errorf("%s: %d bytes came back, %v", query, got, err)
		}
	}
}

// TestUpgrade: what is upgraded is a tunnel.
func TestUpgrade(t *testing.T) {
	n := newNode(t, allowing(t, l7.HTTP{Path: "/chat"}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "no upgrade")
			return
		}
		c, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(c, buffered)
	}))
	c := n.dial(t, n.V4("c"))
	fmt.Fprintf(c, "GET /chat HTTP/1.1\r\nHost: c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
	}
	io.WriteString(c, "\x81\x05hello") // no HTTP any more
	c.CloseWrite()
	if back, _ := io.ReadAll(r); string(back) != "\x81\x05hello" {
		t.Errorf("%q came back", back)
	}
	if answer := n.say(t, "GET /chat HTTP/1.1\r\nHost: c\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"); !strings.Contains(answer, "no upgrade") {
		t.Errorf("an upgrade to HTTP/2: %q", answer)
	}
}

// TestPoliciesChange: the next request on the same connection meets the new ones.
func TestPoliciesChange(t *testing.T) {
	policy := allowing(t, l7.HTTP{Method: "GET"})
	n := newNode(t, policy, echo)
	c := n.dial(t, n.V4("c"))
	r := bufio.NewReader(c)
	for _, step := range []struct {
		next *rules
		want int
	}{{nil, 200}, {allowing(t, l7.HTTP{Method: "PUT"}), 403}, {allowing(t, l7.HTTP{Path: "/"}), 200}} {
		if step.next != nil {
			policy.Store(step.next.Load())
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: c\r\n\r\n")
		answer, err := http.ReadResponse(r, nil)
		if err != nil || answer.StatusCode != step.want {
			t.Fatalf("%v, %v, want %d", answer, err, step.want)
		}
		io.Copy(io.Discard, answer.Body)
	}
	policy.Store(&engine.Judgement{Verdict: traffic.Deny})
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: c\r\n\r\n")
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 403 {
		t.Errorf("%v, %v", answer, err)
	}
}

// TestTheServerEndsAnIdleConnection: the client sees it, before it sends into it.
func TestTheServerEndsAnIdleConnection(t *testing.T) {
	n := newNode(t, allowing(t, l7.HTTP{}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		time.AfterFunc(5*rush, func() { c.Close() })
	}))
	c := n.dial(t, n.V4("c"))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: c\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(answer), "ok") {
		t.Errorf("%q, %v", answer, err)
	}
}

// TestHeadersThatRulesChange: Cilium's headerMatches.
func TestHeadersThatRulesChange(t *testing.T) {
	n := newNode(t, allowing(t, l7.HTTP{Headers: []l7.Header{
		{Name: "x-add", Value: "1", Mismatch: l7.Add}, {Name: "x-replace", Value: "2", Mismatch: l7.Replace}, {Name: "x-delete", Value: "3", Mismatch: l7.Delete},
	}}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %q %q", r.Header["X-Add"], r.Header["X-Replace"], r.Header["X-Delete"])
	}))
	answer := n.say(t, "GET / HTTP/1.1\r\nX-Replace: old\r\nX-Delete: other\r\n"+closing)
	if !strings.HasSuffix(answer, `["1"] ["2"] []`) {
		t.Errorf("%q", answer)
	}
}
