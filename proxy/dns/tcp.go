package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// idle is how long a pod may keep a connection open without asking, as RFC 7766,
// 6.2.3, has it.
const idle = 10 * time.Second

// takeStream serves one connection, if there may be one more.
func (s *Server) takeStream(c *net.TCPConn, pod, resolver netip.AddrPort) {
	defer c.Close()
	if !s.busy.take(pod.Addr()) {
		return
	}
	defer s.busy.give(pod.Addr())
	done := context.AfterFunc(s.ctx, func() { c.Close() })
	defer done()
	if err := s.serveStream(c, pod, resolver); err != nil {
		s.options.Log.Debug("a connection for DNS ended", "pod", pod, "error", err)
	}
}

// serveStream serves the queries of one connection, one after the other: a pod
// that sends many at once has them answered in their order.
func (s *Server) serveStream(c net.Conn, pod, resolver netip.AddrPort) error {
	var upstream net.Conn
	defer func() {
		if upstream != nil {
			upstream.Close()
		}
	}()
	for {
		c.SetDeadline(time.Now().Add(idle))
		message, err := readMessage(c)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		reply, err := s.ask(message, &upstream, pod, resolver)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(idle))
		if err := writeMessage(c, reply); err != nil {
			return err
		}
	}
}

// ask answers one query, of the resolver if the policy lets it.
func (s *Server) ask(message []byte, upstream *net.Conn, pod, resolver netip.AddrPort) ([]byte, error) {
	q, err := parseQuery(message)
	if errors.Is(err, errNotQuery) {
		return refusal(message, s.refusedCode()), nil
	}
	if err != nil {
		return nil, err
	}
	r := s.judge(q, traffic.TCP, pod, resolver)
	if !r.allowed {
		return refusal(message, s.refusedCode()), nil
	}
	ctx, stop := context.WithTimeout(s.ctx, s.options.Timeout)
	defer stop()
	reply, err := s.exchange(ctx, message, upstream, pod, resolver)
	if err != nil {
		return nil, err
	}
	commits, err := s.take(reply, q, r)
	if err != nil || idOf(reply) != q.id {
		return nil, fmt.Errorf("the resolver %s answers another question", resolver)
	}
	if await(ctx, commits) != nil {
		return refusal(message, dns.RcodeServerFailure), nil
	}
	return reply, nil
}

func (s *Server) exchange(ctx context.Context, message []byte, upstream *net.Conn, pod, resolver netip.AddrPort) ([]byte, error) {
	if *upstream == nil {
		c, err := s.options.Sockets.Dial(ctx, pod.Addr(), resolver)
		if err != nil {
			return nil, err
		}
		*upstream = c
	}
	deadline, _ := ctx.Deadline()
	(*upstream).SetDeadline(deadline)
	if err := writeMessage(*upstream, message); err != nil {
		return nil, err
	}
	return readMessage(*upstream)
}

// readMessage reads a message with its length in front (RFC 1035, 4.2.2).
func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	if len(message) < headerLen {
		return nil, errMalformed
	}
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	return message, nil
}

func writeMessage(w io.Writer, message []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, len(message)+2), uint16(len(message)))
	_, err := w.Write(append(framed, message...))
	return err
}
