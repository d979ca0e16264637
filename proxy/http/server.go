// Package http is the proxy that connections under HTTP rules go through, without
// their ends' knowing.
//
// Each request is judged by the policy as it is then, and passed on as it came,
// byte for byte; what cannot be read in one way only is refused. Bodies stream
// through, in the kernel where they have a length. A denied request is answered
// with 403 and a malformed one with 400; what is no HTTP, HTTP/2 included, ends
// the connection. A connection that is upgraded, as to a websocket, is not looked
// at any more.
//
// What a connection costs is bounded, and so is their number, for all pods
// together and for each. A Server owns its goroutines and sockets; Close ends
// them.
package http

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/proxy/transparent"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Policy says what requests may pass; an engine does.
type Policy interface {
	Judge(plan.Packet) engine.Judgement
}

var _ Policy = (*engine.Engine)(nil)

// Options are what a Server works with. Times that are zero have defaults.
type Options struct {
	Policy  Policy
	Sockets transparent.Sockets
	Port    uint16 // of both loopback addresses; zero: the kernel chooses one
	// Patience is for a head that has begun, and for the server to accept; zero:
	// ten seconds. Idle is for the next request; zero: five minutes.
	Patience, Idle time.Duration
	Log            *slog.Logger // nil: none
	// Note is told of each request that was judged; nil: nobody is.
	Note func(Note)
}

// Note is a request and what became of it.
type Note struct {
	From, To           netip.AddrPort
	Method, Host, Path string // empty for what could not be read
	By                 string // the rule that allows it; empty: none had to
	Refused            string // why it was not passed on; empty: it was
	Malformed          bool   // it was refused for what it is, not for what policies say
}

// How many connections there may be.
const (
	mostConnections       = 32_768
	mostConnectionsPerPod = 16_384
)

// Server is one node's proxy.
type Server struct {
	options Options
	port    uint16
	streams []net.Listener
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	all   int
	byPod map[netip.Addr]int
}

// Listen opens the proxy's sockets and begins to serve.
func Listen(ctx context.Context, options Options) (*Server, error) {
	if options.Patience == 0 {
		options.Patience = 10 * time.Second
	}
	if options.Idle == 0 {
		options.Idle = 5 * time.Minute
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: options, byPod: map[netip.Addr]int{}}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if s.streams, s.port, err = options.Sockets.Streams(ctx, options.Port); err != nil {
		s.stop()
		return nil, err
	}
	for _, l := range s.streams {
		s.running.Go(func() { transparent.Accept(s.ctx, l, options.Log, s.running.Go, s.serve) })
	}
	return s, nil
}

// Port is where the proxy listens.
func (s *Server) Port() uint16 { return s.port }

// Close ends the proxy and all connections through it. A second Close does
// nothing.
func (s *Server) Close() error {
	if s.ctx.Err() != nil {
		return nil
	}
	s.stop()
	var err error
	for _, l := range s.streams {
		err = errors.Join(err, l.Close())
	}
	s.running.Wait()
	return err
}

func (s *Server) take(pod netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= mostConnections || s.byPod[pod] >= mostConnectionsPerPod {
		return false
	}
	s.all++
	s.byPod[pod]++
	return true
}

func (s *Server) give(pod netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.byPod[pod]--; s.byPod[pod] == 0 {
		delete(s.byPod, pod)
	}
}

// serve serves one connection to its end, if there may be one more.
func (s *Server) serve(client *net.TCPConn, from, to netip.AddrPort) {
	if !s.take(from.Addr()) {
		transparent.Reset(client)
		return
	}
	defer s.give(from.Addr())
	x := &exchange{Server: s, from: from, to: to, client: newStream(client)}
	done := context.AfterFunc(s.ctx, x.abort)
	defer done()
	defer x.close()
	if err := x.run(); err != nil {
		s.options.Log.Debug("a connection ends", "from", from, "to", to, "error", err)
	}
}

func (s *Server) note(n Note) {
	if s.options.Note != nil {
		s.options.Note(n)
	}
}

// judge asks the policy what becomes of a connection.
func (s *Server) judge(from, to netip.AddrPort) (engine.Judgement, error) {
	j := s.options.Policy.Judge(plan.Packet{From: from.Addr(), To: to.Addr(), Protocol: traffic.TCP, Port: to.Port()})
	if j.Verdict != traffic.Allow && j.Verdict != traffic.InspectHTTP {
		return j, fmt.Errorf("the policies say %s", j.Verdict)
	}
	return j, nil
}
