package doctor

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// What a client may be asked to see.
const (
	ReachAllowed = "allowed"
	ReachDenied  = "denied"
)

// The client's patience. A policy may take a moment to be enforced, and a
// connection may fail by accident, so a denial has to be seen in a row.
const (
	reachWithin  = 30 * time.Second
	reachTimeout = time.Second
	reachPause   = 200 * time.Millisecond
	denialsInRow = 3
)

// greeting is what the server says, so that a client knows whom it reached.
const greeting = "bulkhead doctor\n"

// Serve greets whoever connects until the context ends.
func Serve(ctx context.Context, listener net.Listener) error {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept connection: %w", err)
		}
		go func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(reachTimeout))
			io.WriteString(conn, greeting)
		}()
	}
}

// Reach connects until it sees what is wanted, and tells whether it did.
func Reach(ctx context.Context, address, want string) bool {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	failures := 0
	for {
		reached := connects(ctx, address)
		switch {
		case reached && want == ReachAllowed:
			return true
		case reached:
			failures = 0
		case ctx.Err() == nil:
			failures++
		}
		if want == ReachDenied && failures >= denialsInRow {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(reachPause):
		}
	}
}

func connects(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(reachTimeout))
	said, err := io.ReadAll(io.LimitReader(conn, int64(len(greeting))))
	return err == nil && string(said) == greeting
}
