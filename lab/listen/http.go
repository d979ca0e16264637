package listen

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"time"
)

// requestTimeout bounds how long a client may take for its HTTP request.
const requestTimeout = 10 * time.Second

// HTTP lets a handler answer one request of each connection.
func HTTP(h http.Handler) Stream {
	return func(conn net.Conn) { serveHTTP(conn, bufio.NewReader(conn), h) }
}

// serveHTTP answers one request. What goes wrong is between the client and the
// connection, which is closed afterwards.
func serveHTTP(conn net.Conn, r *bufio.Reader, h http.Handler) {
	conn.SetDeadline(time.Now().Add(requestTimeout))
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	request.RemoteAddr = conn.RemoteAddr().String()
	w := &response{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, request)
	_ = w.send(conn, request)
}

// response gathers an answer that is small.
type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *response) Header() http.Header         { return w.header }
func (w *response) WriteHeader(status int)      { w.status = status }
func (w *response) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *response) send(conn net.Conn, request *http.Request) error {
	return (&http.Response{
		StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Request: request, Close: true,
		ContentLength: int64(w.body.Len()), Body: io.NopCloser(&w.body),
	}).Write(conn)
}
