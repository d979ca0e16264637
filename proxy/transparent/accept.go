package transparent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Accept serves each connection that a listener gets, in a goroutine that spawn
// starts, until the listener is closed or the context ends: from its client to
// where that wanted to go. Serve closes it.
func Accept(ctx context.Context, l net.Listener, log *slog.Logger, spawn func(func()), serve func(c *net.TCPConn, from, to netip.AddrPort)) {
	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				c.Close()
			}
			return
		case err != nil:
			log.Warn("a connection to the proxy is lost", "error", err)
			time.Sleep(10 * time.Millisecond) // such as out of descriptors
			continue
		}
		spawn(func() { serve(c.(*net.TCPConn), addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())) })
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	at := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// Reset ends a connection so that its other end sees that it was cut off.
func Reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
