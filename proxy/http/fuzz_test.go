package http

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// FuzzRequests: what is passed on is understood by another reader, Go's server,
// as it was here: the same method, path, host and length, and no second request
// in it.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		"GET /products?id=1 HTTP/1.1\r\nHost: shop:80\r\n\r\n",
		"POST http://shop/a HTTP/1.1\r\nHost: SHOP\r\nContent-Length: 3\r\n\r\nabc",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"GET /%41/..;/b HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := endOfHead(data)
		if n < 0 || n > mostHead {
			return
		}
		ours, err := parseRequest(data[:n])
		if err != nil {
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return // who refuses it does not misunderstand it
		}
		if ours.method != theirs.Method || ours.target != theirs.RequestURI {
			t.Errorf("%q: %s %s here, %s %s there", data, ours.method, ours.target, theirs.Method, theirs.RequestURI)
		}
		if host, err := hostOf(theirs.Host); err == nil && ours.host != host {
			t.Errorf("%q: host %q here, %q there", data, ours.host, host)
		}
		length := ours.body.length
		if chunked := len(theirs.TransferEncoding) > 0; chunked != ours.body.chunked || !chunked && theirs.ContentLength != length {
			t.Errorf("%q: body %+v here, %v %d there", data, ours.body, theirs.TransferEncoding, theirs.ContentLength)
		}
		if path := theirs.URL.Path; strings.Contains(path, "/../") || strings.HasSuffix(path, "/..") {
			t.Errorf("%q: a path with dots was let through", data)
		}
	})
}
