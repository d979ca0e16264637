package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// largest is the largest message over UDP.
const largest = 65535

// exchange is a query that waits for its answer.
type exchange struct {
	query
	ruling
	pod, resolver netip.AddrPort
	since         time.Time
}

// readQueries serves what comes over UDP.
func (s *Server) readQueries(p *transparent.Packets) {
	buffer := make([]byte, largest)
	for {
		n, pod, resolver, err := p.Read(buffer)
		switch {
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.options.Log.Warn("a query is lost", "error", err)
			continue
		}
		s.pass(buffer[:n], pod, resolver)
	}
}

// pass judges a query and passes it on, or answers it.
func (s *Server) pass(message []byte, pod, resolver netip.AddrPort) {
	q, err := parseQuery(message)
	switch {
	case errors.Is(err, errNotQuery):
		s.answer(refusal(message, s.refusedCode()), pod, resolver)
		return
	case err != nil:
		s.answer(refusal(message, dns.RcodeFormatError), pod, resolver)
		return
	}
	r := s.judge(q, traffic.UDP, pod, resolver)
	if !r.allowed {
		s.answer(refusal(message, s.refusedCode()), pod, resolver)
		return
	}
	if !s.busy.take(pod.Addr()) {
		return
	}
	if err := s.pool.ask(message, exchange{q, r, pod, resolver, time.Now()}); err != nil {
		s.busy.give(pod.Addr())
		s.options.Log.Debug("a query cannot be passed on", "pod", pod, "resolver", resolver, "error", err)
		s.answer(refusal(message, dns.RcodeServerFailure), pod, resolver)
	}
}

// answered hands an answer on, at once if its addresses are in force. It tells
// whether the answer was to the question; the message is no longer the caller's
// then.
func (s *Server) answered(message []byte, x exchange) bool {
	commits, err := s.take(message, x.query, x.ruling)
	if err != nil {
		return false
	}
	s.busy.give(x.pod.Addr())
	withID(message, x.id)
	if len(commits) == 0 {
		s.answer(message, x.pod, x.resolver)
		return true
	}
	message = append([]byte(nil), message...)
	s.running.Go(func() {
		ctx, stop := context.WithTimeout(s.ctx, s.options.Timeout)
		defer stop()
		if err := await(ctx, commits); err != nil {
			s.options.Log.Warn("an answer is withheld: its addresses are not in force", "pod", x.pod, "name", x.question.Name, "error", err)
			message = refusal(message, dns.RcodeServerFailure)
		}
		s.answer(message, x.pod, x.resolver)
	})
	return true
}

// answer sends a message to a pod with the resolver's address.
func (s *Server) answer(message []byte, pod, resolver netip.AddrPort) {
	if message == nil {
		return
	}
	if err := s.answers.send(message, pod, resolver); err != nil && s.ctx.Err() == nil {
		s.options.Log.Debug("an answer is lost", "pod", pod, "resolver", resolver, "error", err)
	}
}
