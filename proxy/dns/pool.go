package dns

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A socket that asks a resolver in a pod's name is used for some queries, and
// then replaced by one with another port: who wants to forge answers has to guess
// port and ID of a socket that is soon gone (RFC 5452, 9.2).
const (
	socketAge     = 10 * time.Second
	socketQueries = 1_000
)

// errNoID: every ID of a socket is in use.
var errNoID = errors.New("too many queries wait for one resolver")

// pool is the sockets by pod and resolver.
type pool struct {
	server *Server
	mu     sync.Mutex
	young  map[way]*asker      // that take queries
	all    map[*asker]struct{} // also those that only wait for answers
}

type way struct {
	pod      netip.Addr
	resolver netip.AddrPort
}

func newPool(s *Server) *pool {
	return &pool{server: s, young: map[way]*asker{}, all: map[*asker]struct{}{}}
}

// asker is one socket and the queries that wait on it.
type asker struct {
	conn    *net.UDPConn
	born    time.Time
	asked   int // under the pool's lock
	mu      sync.Mutex
	waiting map[uint16]exchange
}

// ask sends a query, with an ID of its own.
func (p *pool) ask(message []byte, x exchange) error {
	a, err := p.asker(way{x.pod.Addr(), x.resolver}, x)
	if err != nil {
		return err
	}
	id, err := a.add(x)
	if err != nil {
		return err
	}
	if _, err := a.conn.Write(withID(message, id)); err != nil {
		a.remove(id)
		withID(message, x.id)
		return err
	}
	return nil
}

// asker is the socket for a way; a new one if there is none, or it is worn out.
func (p *pool) asker(w way, x exchange) (*asker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.young[w]
	if !ok || a.asked >= socketQueries || x.since.Sub(a.born) > socketAge {
		conn, err := p.server.options.Sockets.Ask(p.server.ctx, w.pod, w.resolver)
		if err != nil {
			return nil, err
		}
		a = &asker{conn: conn, born: x.since, waiting: map[uint16]exchange{}}
		p.young[w] = a
		p.all[a] = struct{}{}
		p.server.running.Go(func() { p.read(a) })
	}
	a.asked++
	return a, nil
}

func (a *asker) add(x exchange) (uint16, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for range 100 {
		id := uint16(rand.Uint32()) // of ChaCha8, seeded by the system
		if _, taken := a.waiting[id]; !taken {
			a.waiting[id] = x
			return id, nil
		}
	}
	return 0, errNoID
}

func (a *asker) find(id uint16) (exchange, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, ok := a.waiting[id]
	return x, ok
}

func (a *asker) remove(id uint16) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// read hands on what comes back, until the socket is closed.
func (p *pool) read(a *asker) {
	buffer := make([]byte, largest)
	for {
		n, err := a.conn.Read(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || n < headerLen:
			continue // such as a port that is closed: the pod will ask again
		}
		id := idOf(buffer)
		if x, ok := a.find(id); ok && p.server.answered(buffer[:n], x) {
			a.remove(id)
		}
	}
}

// sweep gives up queries whose time is over, and closes sockets that nobody
// needs.
func (p *pool) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w, a := range p.young {
		if now.Sub(a.born) > socketAge {
			delete(p.young, w)
		}
	}
	young := map[*asker]struct{}{}
	for _, a := range p.young {
		young[a] = struct{}{}
	}
	for a := range p.all {
		waiting := a.giveUp(now.Add(-p.server.options.Timeout), p.server.busy)
		if _, ok := young[a]; !ok && waiting == 0 {
			a.conn.Close()
			delete(p.all, a)
		}
	}
}

// giveUp forgets the queries from before a time and counts the others.
func (a *asker) giveUp(before time.Time, busy *bounds) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, x := range a.waiting {
		if x.since.Before(before) {
			delete(a.waiting, id)
			busy.give(x.pod.Addr())
		}
	}
	return len(a.waiting)
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.all {
		a.conn.Close()
	}
	clear(p.all)
	clear(p.young)
}
