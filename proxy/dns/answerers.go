package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// answerers are the sockets that answer as resolvers, by the resolver.
type answerers struct {
	server *Server
	mu     sync.Mutex
	byAddr map[netip.AddrPort]*answerer
}

type answerer struct {
	conn *net.UDPConn
	used time.Time
}

// mostAnswerers bounds what a pod can have opened by asking everybody.
const mostAnswerers = 1_024

var errNoAnswerer = errors.New("too many resolvers are asked")

func newAnswerers(s *Server) *answerers {
	return &answerers{server: s, byAddr: map[netip.AddrPort]*answerer{}}
}

func (a *answerers) send(message []byte, pod, resolver netip.AddrPort) error {
	conn, err := a.as(a.server.ctx, resolver)
	if err != nil {
		return err
	}
	_, err = conn.WriteToUDPAddrPort(message, pod)
	return err
}

func (a *answerers) as(ctx context.Context, resolver netip.AddrPort) (*net.UDPConn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.byAddr[resolver]
	if !ok {
		if len(a.byAddr) >= mostAnswerers {
			return nil, errNoAnswerer
		}
		conn, err := a.server.options.Sockets.Answer(ctx, resolver)
		if err != nil {
			return nil, err
		}
		one = &answerer{conn: conn}
		a.byAddr[resolver] = one
	}
	one.used = time.Now()
	return one.conn, nil
}

// sweep closes sockets that were not used for a while.
func (a *answerers) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for resolver, one := range a.byAddr {
		if now.Sub(one.used) > time.Minute {
			one.conn.Close()
			delete(a.byAddr, resolver)
		}
	}
}

func (a *answerers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.byAddr {
		one.conn.Close()
	}
	clear(a.byAddr)
}
