package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/bulkhead-dev/bulkhead/lab"
)

// server owns a lab and does what clients ask.
type server struct {
	log  *slog.Logger
	home Home
	stop context.CancelFunc
	// found gets the socket at which others find the lab, once it is started.
	found chan *net.UnixListener

	mu      sync.Mutex // one change at a time
	options Start
	lab     *lab.Lab
	state   State
	claim   *claim // nil: the lab has no name
}

// Serve runs a lab for the client at the other end of a socket, until the client
// goes away or stops the lab, or the context ends. A lab with a name goes on
// without that client, for others.
func Serve(ctx context.Context, home Home, first *os.File, log *slog.Logger) error {
	socket, err := fileConn(first)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &server{log: log, home: home, stop: stop, found: make(chan *net.UnixListener, 1)}
	var clients sync.WaitGroup
	clients.Go(func() {
		s.serveClient(ctx, socket)
		close(s.found) // nobody else can start the lab
	})
	clients.Go(func() {
		if listener, ok := <-s.found; ok {
			context.AfterFunc(ctx, func() { listener.Close() })
			s.accept(ctx, listener)
		}
		stop()
	})
	clients.Wait()
	return s.close()
}

// accept serves all who find the lab by its name.
func (s *server) accept(ctx context.Context, listener *net.UnixListener) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		socket, err := listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Error("cannot accept clients", "error", err)
			s.stop()
			return
		}
		clients.Go(func() { s.serveClient(ctx, socket) })
	}
}

func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	if s.claim != nil {
		errs = append(errs, s.claim.release())
	}
	return errors.Join(errs...)
}
