package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
)

// exchange is one client's connection and the one to its server.
type exchange struct {
	*Server
	from, to netip.AddrPort
	client   *stream
	server   *stream // nil until a request was allowed
	ended    bool    // no request comes behind
	cut      bool    // something went wrong midway: the client is to see it

	mu      sync.Mutex // of what follows, and of server while it is opened
	aborted bool
}

// abort ends the exchange from another goroutine.
func (x *exchange) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.aborted = true
	x.client.Close()
	if x.server != nil {
		x.server.Close()
	}
}

func (x *exchange) close() {
	for _, s := range []*stream{x.client, x.server} {
		if s != nil && x.cut {
			transparent.Reset(s.TCPConn)
		} else if s != nil {
			s.Close()
		}
	}
}

// run takes the requests one after the other: those that a client sends ahead
// wait in its connection.
func (x *exchange) run() error {
	for !x.ended {
		head, err := x.nextHead()
		switch {
		case errors.Is(err, errTooLong):
			x.noteMalformed(err)
			return errors.Join(err, x.answer(http.StatusRequestHeaderFieldsTooLarge, "the head is too long"))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := x.request(head); err != nil {
			return err
		}
	}
	return nil
}

// http2 begins a connection with HTTP/2 by prior knowledge (RFC 9113, 3.4).
const http2 = "PRI * HTTP/2.0\r\n"

// request judges one request, passes it on and brings the answer back.
func (x *exchange) request(head []byte) error {
	r, err := parseRequest(head)
	if err != nil {
		x.noteMalformed(err)
		if !looksLikeHTTP(head) {
			x.cut = true
			return err
		}
		return errors.Join(err, x.answer(http.StatusBadRequest, err.Error()))
	}
	edits, err := x.allow(r)
	if err != nil {
		x.ended = x.ended || r.closes || !r.body.empty()
		return x.answer(http.StatusForbidden, "denied by network policy")
	}
	if err := x.connect(); err != nil {
		return errors.Join(err, x.answer(http.StatusBadGateway, "the server cannot be reached"))
	}
	if strings.Contains(r.upgrade, "h2c") || len(edits) > 0 {
		head = r.rewritten(edits)
	}
	if _, err := x.server.Write(head); err != nil {
		return x.lost(err)
	}
	return x.pass(r)
}

// looksLikeHTTP tells whether whoever sent this would understand an answer.
func looksLikeHTTP(head []byte) bool {
	line, _, _ := strings.Cut(string(head[:min(len(head), mostHead)]), "\r\n")
	words := strings.Fields(line)
	return string(head[:min(len(head), len(http2))]) != http2 &&
		len(words) > 1 && isToken(words[0]) && strings.HasPrefix(words[len(words)-1], "HTTP/1.")
}

var errDenied = errors.New("denied by a policy")

// allow asks the policy about a request. Other policies may hold for it than for
// the one before.
func (x *exchange) allow(r *request) ([]l7.Edit, error) {
	note := Note{From: x.from, To: x.to, Method: r.method, Host: r.host, Path: r.path}
	j, err := x.judge(x.from, x.to)
	var edits []l7.Edit
	if err == nil && len(j.Filters) > 0 {
		asked := &l7.Request{Method: r.method, Path: r.path, Host: r.host, Header: r.header()}
		for _, f := range j.Filters {
			by, more, ok := f.Request(asked)
			if !ok {
				err = errDenied
				break
			}
			note.By, edits = by, append(edits, more...)
		}
	}
	if err != nil {
		note.Refused = err.Error()
	}
	x.note(note)
	return edits, err
}

func (x *exchange) noteMalformed(err error) {
	x.note(Note{From: x.from, To: x.to, Refused: err.Error(), Malformed: true})
}

func (r *request) header() map[string][]string {
	header := make(map[string][]string, len(r.fields))
	for _, f := range r.fields {
		header[f.name] = append(header[f.name], f.value)
	}
	return header
}

// rewritten is the head with what a rule wants changed, and without an offer to
// go on with HTTP/2, which a server may ignore (RFC 9110, 7.8).
func (r *request) rewritten(edits []l7.Edit) []byte {
	fields := r.fields
	if strings.Contains(r.upgrade, "h2c") {
		r.upgrade = ""
		fields = without(fields, "upgrade", "http2-settings", "connection")
		if r.closes {
			fields = append(fields, field{"connection", "close"})
		}
	}
	for _, e := range edits {
		fields = edited(fields, e.Header)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.%d\r\n", r.method, r.target, r.minor)
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

func without(fields []field, names ...string) []field {
	var kept []field
	for _, f := range fields {
		drop := false
		for _, name := range names {
			drop = drop || f.name == name
		}
		if !drop {
			kept = append(kept, f)
		}
	}
	return kept
}

// edited does what Cilium's headerMatches ask for where a header differs.
func edited(fields []field, h l7.Header) []field {
	switch h.Mismatch {
	case l7.Add:
		return append(fields, field{h.Name, h.Value})
	case l7.Replace:
		return append(without(fields, h.Name), field{h.Name, h.Value})
	case l7.Delete:
		var kept []field
		for _, f := range fields {
			if f.name != h.Name || f.value == h.Value {
				kept = append(kept, f)
			}
		}
		return kept
	}
	return fields
}

// connect opens the connection to the server, in the client's name.
func (x *exchange) connect() error {
	if x.server != nil {
		return nil
	}
	ctx, stop := context.WithTimeout(x.ctx, x.options.Patience)
	defer stop()
	c, err := x.options.Sockets.Dial(ctx, x.from.Addr(), x.to)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.server = newStream(c)
	if x.aborted {
		c.Close()
	}
	return nil
}

// answer is the proxy's own, and the last unless the client may go on.
func (x *exchange) answer(status int, text string) error {
	connection := ""
	if status != http.StatusForbidden || x.ended {
		x.ended = true
		connection = "Connection: close\r\n"
	}
	text += "\n"
	x.client.SetWriteDeadline(time.Now().Add(x.options.Patience))
	defer x.client.SetWriteDeadline(time.Time{})
	_, err := fmt.Fprintf(x.client, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%s\r\n%s",
		status, http.StatusText(status), len(text), connection, text)
	return err
}

func (x *exchange) lost(err error) error {
	x.cut = true
	return err
}

// pass passes the body on and brings the answer back, both at the same time: a
// server may answer before it has all, or ask for the body first.
func (x *exchange) pass(r *request) error {
	if r.body.empty() && r.upgrade == "" {
		_, err := x.bring(r)
		return err
	}
	if r.upgrade != "" && r.body.empty() {
		return x.passUpgrade(r)
	}
	sent := make(chan error, 1)
	go func() { sent <- x.send(r.body) }()
	status, err := x.bring(r)
	if status == http.StatusSwitchingProtocols {
		err = x.lost(malformed("an upgrade with a body"))
	}
	if err != nil || status >= 400 {
		x.client.SetReadDeadline(time.Now().Add(x.options.Patience)) // a client need not send the rest
	}
	if bodyErr := <-sent; bodyErr != nil {
		x.ended = true
		if err == nil && status < 400 {
			x.cut = true
			err = bodyErr
		}
	}
	return err
}

// send passes the body on. For an answer to one that breaks off nobody waits; a
// server that stopped reading may have one.
func (x *exchange) send(b body) error {
	err := x.client.copyBody(x.server.TCPConn, b)
	var wrong malformed
	if errors.As(err, &wrong) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.Join(err, x.server.CloseRead())
	}
	return err
}

// passUpgrade becomes a tunnel if the server agrees.
func (x *exchange) passUpgrade(r *request) error {
	status, err := x.bring(r)
	if err != nil || status != http.StatusSwitchingProtocols {
		return err
	}
	x.ended = true
	back := make(chan error, 1)
	go func() {
		err := x.server.copyBody(x.client.TCPConn, body{length: -1})
		back <- errors.Join(err, x.client.CloseWrite())
	}()
	err = x.client.copyBody(x.server.TCPConn, body{length: -1})
	return errors.Join(err, x.server.CloseWrite(), <-back)
}

// bring brings an answer back, with the interim ones before it, and returns its
// status.
func (x *exchange) bring(r *request) (int, error) {
	for {
		head, err := x.server.head(x.options.Idle, x.options.Idle)
		if err != nil {
			return 0, x.lost(err)
		}
		answer, err := parseResponse(head, r.method)
		if err != nil {
			return 0, x.lost(err)
		}
		if err := x.deliver(head, answer.body); err != nil {
			return answer.status, x.lost(err)
		}
		switch {
		case answer.status == http.StatusSwitchingProtocols && r.upgrade == "":
			return answer.status, x.lost(malformed("the server upgrades without being asked"))
		case answer.status == http.StatusSwitchingProtocols || answer.status >= 200:
			x.ended = x.ended || answer.closes || r.closes
			return answer.status, nil
		}
	}
}

// deliver writes a head, together with what is there of the body, and then the
// rest.
func (x *exchange) deliver(head []byte, b body) error {
	ready := 0
	if !b.chunked && b.length != 0 {
		if ready = len(x.server.unread()); b.length > 0 {
			ready = int(min(int64(ready), b.length))
		}
	}
	if _, err := x.client.Write(x.server.buffer[x.server.start-len(head) : x.server.start+ready]); err != nil {
		return err
	}
	x.server.start += ready
	if b.length > 0 {
		b.length -= int64(ready)
	}
	if b.empty() {
		return nil
	}
	return x.server.copyBody(x.client.TCPConn, b)
}

var _ net.Conn = (*stream)(nil)
