package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
)

// session is one client's connection.
type session struct {
	*server
	conn    *conn
	signals signals
}

// serveClient answers requests until the client goes away. What it has asked for
// is given up then.
func (s *server) serveClient(ctx context.Context, socket *net.UnixConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &session{server: s, conn: newConn(socket)}
	defer c.conn.close()
	context.AfterFunc(ctx, func() { socket.Close() })
	requests := make(chan request)
	go func() {
		defer close(requests)
		defer cancel()
		c.read(ctx, requests)
	}()
	for r := range requests {
		result, err := c.handle(ctx, r)
		if c.answer(result, err) != nil {
			return
		}
		if r.Op == opStop && err == nil {
			s.stop()
		}
	}
}

// read takes requests off the socket. Signals overtake the request that they are
// for.
func (c *session) read(ctx context.Context, requests chan<- request) {
	for {
		var r request
		if err := c.conn.decoder.Decode(&r); err != nil {
			return
		}
		if r.Op == opSignal && r.Signal != nil {
			c.signals.send(*r.Signal)
			continue
		}
		select {
		case requests <- r:
		case <-ctx.Done():
			return
		}
	}
}

func (c *session) answer(result any, err error) error {
	var text []byte
	if err == nil {
		text, err = json.Marshal(result)
	}
	if err != nil {
		var input InputError
		return c.conn.send(event{Error: &failure{Message: err.Error(), Input: errors.As(err, &input)}})
	}
	return c.conn.send(event{Result: text})
}

func (c *session) handle(ctx context.Context, r request) (any, error) {
	if r.Op == opStart && r.Start != nil {
		return struct{}{}, c.startLab(ctx, *r.Start)
	}
	if !c.started() {
		return nil, errors.New("there is no lab yet")
	}
	switch {
	case r.Op == opState:
		return c.currentState(), nil
	case r.Op == opApply && r.Apply != nil:
		return struct{}{}, c.apply(ctx, *r.Apply)
	case r.Op == opProbe && r.Probe != nil:
		return c.probe(ctx, *r.Probe)
	case r.Op == opStatus:
		return c.status(ctx)
	case r.Op == opExec && r.Exec != nil:
		return c.exec(ctx, *r.Exec)
	case r.Op == opStop:
		return struct{}{}, nil
	}
	return nil, fmt.Errorf("unknown request %q", r.Op)
}
