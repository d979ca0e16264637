package sctp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"

	"github.com/pion/logging"
	"github.com/pion/sctp"
)

// ErrRefused is within the error of a Dial that the other side turned down.
var ErrRefused = errors.New("connection refused")

// A Conn is stream 0 of an association.
type Conn struct {
	*sctp.Stream
	association *sctp.Association
}

// Close ends the association the orderly way, or for good when ctx does.
func (c *Conn) Close(ctx context.Context) error {
	if err := c.association.Shutdown(ctx); err != nil {
		return c.association.Close()
	}
	return nil
}

// Dial opens an association with a host:port.
func Dial(ctx context.Context, address string) (*Conn, error) {
	remote, port, err := resolve(address)
	if err != nil {
		return nil, err
	}
	socket, err := net.DialIP(network(remote.IP), nil, remote)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	local := uint16(32768 + rand.IntN(28232))
	w := newWire(local, port, func(b []byte) error { _, err := socket.Write(b); return err }, func() { socket.Close() })
	go w.receive(socket)
	stop := context.AfterFunc(ctx, func() { w.fail(ctx.Err()) })
	association, err := sctp.ClientWithOptions(config(w))
	stop()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, w.cause(err))
	}
	stream, err := association.OpenStream(0, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		association.Close()
		return nil, fmt.Errorf("open stream to %s: %w", address, err)
	}
	return &Conn{Stream: stream, association: association}, nil
}

func config(w *wire) sctp.Config {
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	return sctp.Config{NetConn: w, LoggerFactory: quiet, BlockWrite: true}
}

// cause prefers the wire's own reason to what the protocol made of it. An
// association that ends while it is being set up was aborted by the peer.
func (w *wire) cause(err error) error {
	select {
	case <-w.closed:
	default:
		return err
	}
	switch {
	case errors.Is(w.err, syscall.ECONNREFUSED), errors.Is(w.err, syscall.ENOPROTOOPT), errors.Is(w.err, errAborted):
		return fmt.Errorf("%w: %w", ErrRefused, w.err)
	}
	return w.err
}

var errAborted = errors.New("association aborted by peer")

// receive moves the packets of one association from a connected socket to its wire.
func (w *wire) receive(socket *net.IPConn) {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := socket.ReadFromIP(buffer)
		if err != nil {
			w.fail(err)
			return
		}
		p := packet(append([]byte(nil), buffer[:n]...))
		if !p.valid() || p.source() != w.remote || p.destination() != w.local {
			continue
		}
		if p.firstChunk() == chunkAbort {
			w.fail(errAborted)
			return
		}
		w.deliver(p)
	}
}

func resolve(address string) (*net.IPAddr, uint16, error) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return nil, 0, fmt.Errorf("parse address: %w", err)
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, 0, fmt.Errorf("parse port of %s: %w", address, err)
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return nil, 0, fmt.Errorf("resolve %s: %w", host, err)
	}
	return ip, uint16(port), nil
}

func network(ip net.IP) string {
	if ip.To4() == nil {
		return fmt.Sprintf("ip6:%d", protocolNumber)
	}
	return fmt.Sprintf("ip4:%d", protocolNumber)
}
