// Package dns is the proxy that the DNS queries of pods under rules for names go
// through, without the pods' knowing.
//
// A query is judged by the policy and passed on to the resolver that the pod
// asked, with the pod's address; nothing in it is changed but its ID. The answer
// reaches the pod only when the addresses in it are in the kernel's tables. A
// refused query is answered by the proxy.
//
// What is kept of queries is bounded, for all pods together and for each; beyond
// that, queries are dropped, as a resolver would under such load. Answers that do
// not belong to a query, by their ID or question, are ignored: the right one may
// come yet.
//
// A Server owns its goroutines and sockets; Close ends them.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/names"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Policy says what may be asked, and is told what was learned; an engine does.
type Policy interface {
	Judge(plan.Packet) engine.Judgement
	Learn(learned map[string][]netip.Addr) (wait func(context.Context) error)
}

var _ Policy = (*engine.Engine)(nil)

// Options are what a Server works with.
type Options struct {
	Policy  Policy
	Sockets transparent.Sockets
	Port    uint16 // of both loopback addresses; zero: the kernel chooses one
	Limits  names.Limits
	// NXDomain answers refused queries with NXDOMAIN in place of REFUSED, for
	// resolvers of musl libc and others that take REFUSED for a reason to give up.
	NXDomain bool
	// Timeout is how long a resolver has to answer; zero: five seconds.
	Timeout time.Duration
	// File keeps what was learned over a restart; empty: nothing is kept.
	File string
	// InUse are the addresses that live connections go to; nil: none.
	InUse func() (map[netip.Addr]bool, error)
	Log   *slog.Logger // nil: none
	// Note is told of each query that was judged; nil: nobody is.
	Note func(Note)
}

// Note is a query and what became of it.
type Note struct {
	Pod, Resolver netip.AddrPort
	Protocol      traffic.Protocol
	Name          string
	Allowed       bool
	By            string // the rule that allows it; empty: none had to
}

// Server is one node's proxy.
type Server struct {
	options Options
	learner *learner
	port    uint16
	packets []*transparent.Packets
	streams []net.Listener
	pool    *pool
	answers *answerers
	busy    *bounds

	stop    context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup
}

// Listen opens the proxy's sockets and begins to serve.
func Listen(ctx context.Context, options Options) (*Server, error) {
	if options.Timeout == 0 {
		options.Timeout = 5 * time.Second
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.InUse == nil {
		options.InUse = func() (map[netip.Addr]bool, error) { return nil, nil }
	}
	s := &Server{options: options, busy: newBounds()}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.learner = &learner{
		policy: options.Policy, inUse: options.InUse, log: options.Log,
		table: names.New(options.Limits), pending: map[string]*commit{},
	}
	if err := s.listen(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	memory, err := readMemory(options.File)
	if err != nil {
		options.Log.Warn("what was learned of names before is lost", "error", err)
	}
	s.learner.recall(memory, time.Now())
	s.serve()
	return s, nil
}

func (s *Server) listen(ctx context.Context) (err error) {
	if s.packets, s.port, err = s.options.Sockets.Datagrams(ctx, s.options.Port); err != nil {
		return err
	}
	if s.streams, _, err = s.options.Sockets.Streams(ctx, s.port); err != nil {
		return err
	}
	s.pool, s.answers = newPool(s), newAnswerers(s)
	return nil
}

func (s *Server) serve() {
	for i := range s.packets {
		s.running.Go(func() { s.readQueries(s.packets[i]) })
		s.running.Go(func() { transparent.Accept(s.ctx, s.streams[i], s.options.Log, s.running.Go, s.takeStream) })
	}
	s.running.Go(s.tick)
}

// Port is where the proxy listens.
func (s *Server) Port() uint16 { return s.port }

// Close ends the proxy and writes down what it knows. A second Close does
// nothing.
func (s *Server) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	s.stop()
	var err error
	for _, p := range s.packets {
		err = errors.Join(err, p.Close())
	}
	for _, l := range s.streams {
		err = errors.Join(err, l.Close())
	}
	if s.pool != nil {
		s.pool.close()
		s.answers.close()
	}
	s.running.Wait()
	return errors.Join(err, s.keep())
}

// tick forgets what is over, every second.
func (s *Server) tick() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-ticker.C:
			s.pool.sweep(now)
			s.answers.sweep(now)
			s.learner.expire(now)
			if err := s.keep(); err != nil {
				s.options.Log.Warn("what was learned of names would not outlive a restart", "error", err)
			}
		}
	}
}

func (s *Server) keep() error {
	memory, changed := s.learner.changes()
	if !changed || s.options.File == "" {
		return nil
	}
	if err := writeMemory(s.options.File, memory); err != nil {
		return fmt.Errorf("keep what was learned: %w", err)
	}
	return nil
}

// ruling is what the policy says of one query.
type ruling struct {
	allowed bool
	learns  []l7.Selector // that speak of the name
}

// judge asks the policy about a query.
func (s *Server) judge(q query, protocol traffic.Protocol, pod, resolver netip.AddrPort) ruling {
	j := s.options.Policy.Judge(plan.Packet{From: pod.Addr(), To: resolver.Addr(), Protocol: protocol, Port: resolver.Port()})
	note := Note{Pod: pod, Resolver: resolver, Protocol: protocol, Name: q.question.Name}
	r := ruling{allowed: j.Verdict == traffic.Allow || j.Verdict == traffic.InspectDNS}
	for _, f := range j.Filters {
		by, ok := f.Name(q.question.Name)
		r.allowed = r.allowed && ok
		note.By = by
	}
	for _, selector := range j.Learns {
		if selector.Match(q.question.Name) {
			r.learns = append(r.learns, selector)
		}
	}
	if note.Allowed = r.allowed; s.options.Note != nil {
		s.options.Note(note)
	}
	return r
}

// refusedCode is the answer to what the policy refuses.
func (s *Server) refusedCode() int {
	if s.options.NXDomain {
		return dns.RcodeNameError
	}
	return dns.RcodeRefused
}

// take learns from an answer. The answer may be handed on once what is returned
// has been awaited; it is an error to hand on one that is not to the question.
func (s *Server) take(answer []byte, q query, r ruling) ([]*commit, error) {
	f, err := parseAnswer(answer, q.question)
	if err != nil {
		return nil, err
	}
	if len(f.addrs) == 0 || len(r.learns) == 0 {
		return nil, nil
	}
	keys := make([]string, len(r.learns))
	for i, selector := range r.learns {
		keys[i] = selector.Key
	}
	return s.learner.learn(keys, f, time.Now()), nil
}
