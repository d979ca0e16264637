package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/test/cluster/sctp"
)

// sctpPatience is how long an SCTP connection is waited for that names no
// timeout: a kernel's patience, about.
const sctpPatience = time.Minute

// A request is the arguments of agnhost connect.
type request struct {
	protocol          string
	target            string
	timeout           time.Duration // 0: none
	udpData, sctpData string
}

// parseConnect reads the arguments; ok is false for what is left to the real one,
// mistakes above all.
func parseConnect(args []string) (r request, ok bool) {
	flags := pflag.NewFlagSet("connect", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&r.protocol, "protocol", "tcp", "")
	flags.DurationVar(&r.timeout, "timeout", 0, "")
	flags.StringVar(&r.udpData, "udp-data", "hostname", "")
	flags.StringVar(&r.sctpData, "sctp-data", "hostname", "")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return request{}, false
	}
	r.target = flags.Arg(0)
	switch r.protocol {
	case "tcp", "udp", "sctp":
		return r, true
	}
	return request{}, false
}

func (r request) connect() int {
	switch r.protocol {
	case "tcp":
		return r.connectTCP()
	case "udp":
		return r.connectUDP()
	}
	return r.connectSCTP()
}

func (r request) connectTCP() int {
	if _, _, err := net.SplitHostPort(r.target); err != nil {
		return fail("UNKNOWN: %v", err)
	}
	if _, err := net.ResolveTCPAddr("tcp", r.target); err != nil {
		return fail("DNS: %v", err)
	}
	conn, err := net.DialTimeout("tcp", r.target, r.timeout)
	var timeout net.Error
	switch {
	case err == nil:
		conn.Close()
		return 0
	case errors.As(err, &timeout) && timeout.Timeout():
		return fail("TIMEOUT")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail("REFUSED")
	}
	return fail("OTHER: %v", err)
}

func (r request) connectUDP() int {
	if _, err := net.ResolveUDPAddr("udp", r.target); err != nil {
		return fail("DNS: %v", err)
	}
	conn, err := net.Dial("udp", r.target)
	if err != nil {
		return fail("OTHER: %v", err)
	}
	defer conn.Close()
	if r.timeout > 0 {
		if err := conn.SetDeadline(time.Now().Add(r.timeout)); err != nil {
			return fail("OTHER: %v", err)
		}
	}
	n, err := exchange(conn, r.udpData)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fail("TIMEOUT: %v", err)
	case err != nil && strings.Contains(err.Error(), "connection refused"):
		return fail("REFUSED: %v", err)
	case err != nil:
		return fail("UNKNOWN: %v", err)
	case n == 0:
		return fail("OTHER: the server sent nothing, so it may not have got the request")
	}
	return 0
}

// connectSCTP succeeds once the server has answered.
func (r request) connectSCTP() int {
	timeout := r.timeout
	if timeout == 0 {
		timeout = sctpPatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := sctp.Dial(ctx, r.target)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fail("TIMEOUT")
	case errors.Is(err, sctp.ErrRefused):
		return fail("REFUSED")
	case err != nil:
		return fail("OTHER: %v", err)
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		return fail("OTHER: %v", err)
	}
	if _, err := exchange(conn, r.sctpData); err != nil {
		return fail("OTHER: %v", err)
	}
	closing, done := context.WithTimeout(ctx, time.Second)
	defer done()
	// What was to be shown has been: an unanswered goodbye is no failure.
	_ = conn.Close(closing)
	return 0
}

// exchange sends a line and waits for something back.
func exchange(conn io.ReadWriter, data string) (read int, err error) {
	if _, err := conn.Write([]byte(data + "\n")); err != nil {
		return 0, err
	}
	return conn.Read(make([]byte, 1024))
}
