package listen

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Greeter says who it is and who asks: "shop/backend TCP 8080 from 10.244.1.5".
// It does so in the way of whoever asks: over HTTP, also in TLS, or as a line of
// text for every line or datagram.
type Greeter struct {
	Name string // "shop/backend TCP 8080"
}

// patience is how long a client may be silent before it is greeted unasked, as
// people with a plain connection expect.
const patience = 200 * time.Millisecond

func (g Greeter) line(from netip.Addr) string {
	return fmt.Sprintf("%s from %s\n", g.Name, from)
}

// Datagram greets the sender.
func (g Greeter) Datagram(_ []byte, from, _ netip.AddrPort) []byte {
	return []byte(g.line(from.Addr()))
}

// Stream greets whoever has connected.
func (g Greeter) Stream(conn net.Conn) {
	line := g.line(RemoteAddr(conn))
	r := bufio.NewReader(conn)
	conn.SetReadDeadline(time.Now().Add(patience))
	first, err := r.Peek(1)
	conn.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if _, err := io.WriteString(conn, line); err == nil {
			greetLines(conn, r, line)
		}
	case err != nil:
	case first[0] == tlsHandshake:
		greetTLS(conn, r, line)
	case isHTTP(r):
		greetHTTP(conn, r, line)
	default:
		greetLines(conn, r, line)
	}
}

func greetLines(w io.Writer, r *bufio.Reader, line string) {
	for {
		if _, err := r.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		if _, err := io.WriteString(w, line); err != nil {
			return
		}
	}
}

var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS "}

// isHTTP looks at what has arrived; a request's first word is never cut.
func isHTTP(r *bufio.Reader) bool {
	start, _ := r.Peek(r.Buffered())
	for _, method := range methods {
		if bytes.HasPrefix(start, []byte(method)) {
			return true
		}
	}
	return false
}

func greetHTTP(conn net.Conn, r *bufio.Reader, line string) {
	serveHTTP(conn, r, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, line)
	}))
}

// tlsHandshake is the first byte of a TLS connection (RFC 8446, 5.1).
const tlsHandshake = 22

func greetTLS(conn net.Conn, r *bufio.Reader, line string) {
	conn.SetDeadline(time.Now().Add(requestTimeout))
	secure := tls.Server(unread{conn, r}, &tls.Config{GetCertificate: certificate})
	inner := bufio.NewReader(secure)
	if _, err := inner.Peek(1); err != nil {
		return
	}
	if isHTTP(inner) {
		greetHTTP(secure, inner, line)
	} else {
		conn.SetDeadline(time.Time{})
		greetLines(secure, inner, line)
	}
	secure.Close()
}

// Unread is a connection of which a part was read ahead.
func Unread(conn net.Conn, r *bufio.Reader) net.Conn { return unread{conn, r} }

type unread struct {
	net.Conn
	r *bufio.Reader
}

func (u unread) Read(p []byte) (int, error) { return u.r.Read(p) }

var makeCertificate = sync.OnceValues(func() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bulkhead lab"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
})

// certificate is one for all, signed by itself: the lab's clients do not check.
func certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return makeCertificate() }

// RemoteAddr is who has connected.
func RemoteAddr(conn net.Conn) netip.Addr {
	return addrPort(conn.RemoteAddr()).Addr()
}

// LocalAddr is the address and port that a client connected to.
func LocalAddr(conn net.Conn) netip.AddrPort { return addrPort(conn.LocalAddr()) }

func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// SSH is the first line of an SSH server (RFC 4253, 4.2), which then waits for
// a client that will not come to terms with it.
func SSH(conn net.Conn) {
	if _, err := io.WriteString(conn, "SSH-2.0-BulkheadLab\r\n"); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}
