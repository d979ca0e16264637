package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	if !slices.Contains(protocols, r.protocol) {
		return request{}, false
	}
	return r, true
}

var protocols = []string{"tcp", "udp", "sctp"}

// ours says whether the request can be served here: SCTP cannot where the kernel
// has its own.
func (r request) ours() bool { return r.protocol != "sctp" || !sctp.Supported() }

// connect returns an error in the words of agnhost, or nil.
func (r request) connect() error {
	switch r.protocol {
	case "tcp":
		return r.connectTCP()
	case "udp":
		return r.connectUDP()
	}
	return r.connectSCTP()
}

func (r request) connectTCP() error {
	if _, _, err := net.SplitHostPort(r.target); err != nil {
		return fmt.Errorf("UNKNOWN: %v", err)
	}
	if _, err := net.ResolveTCPAddr("tcp", r.target); err != nil {
		return fmt.Errorf("DNS: %v", err)
	}
	conn, err := net.DialTimeout("tcp", r.target, r.timeout)
	var timeout net.Error
	switch {
	case err == nil:
		conn.Close()
		return nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("TIMEOUT")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("REFUSED")
	}
	return fmt.Errorf("OTHER: %v", err)
}

func (r request) connectUDP() error {
	if _, err := net.ResolveUDPAddr("udp", r.target); err != nil {
		return fmt.Errorf("DNS: %v", err)
	}
	conn, err := net.Dial("udp", r.target)
	if err != nil {
		return fmt.Errorf("OTHER: %v", err)
	}
	defer conn.Close()
	if r.timeout > 0 {
		if err := conn.SetDeadline(time.Now().Add(r.timeout)); err != nil {
			return fmt.Errorf("OTHER: %v", err)
		}
	}
	n, err := exchange(conn, r.udpData)
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("TIMEOUT: %v", err)
	case err != nil && strings.Contains(err.Error(), "connection refused"):
		return fmt.Errorf("REFUSED: %v", err)
	case err != nil:
		return fmt.Errorf("UNKNOWN: %v", err)
	case n == 0:
		return errors.New("OTHER: the server sent nothing, so it may not have got the request")
	}
	return nil
}

// connectSCTP succeeds once the server has answered.
func (r request) connectSCTP() error {
	timeout := r.timeout
	if timeout == 0 {
		timeout = sctpPatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := sctp.Dial(ctx, r.target)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("TIMEOUT")
	case errors.Is(err, sctp.ErrRefused):
		return errors.New("REFUSED")
	case err != nil:
		return fmt.Errorf("OTHER: %v", err)
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("OTHER: %v", err)
	}
	if _, err := exchange(conn, r.sctpData); err != nil {
		return fmt.Errorf("OTHER: %v", err)
	}
	closing, done := context.WithTimeout(ctx, time.Second)
	defer done()
	// What was to be shown has been: an unanswered goodbye is no failure.
	_ = conn.Close(closing)
	return nil
}

// exchange sends a line and waits for something back.
func exchange(conn io.ReadWriter, data string) (read int, err error) {
	if _, err := conn.Write([]byte(data + "\n")); err != nil {
		return 0, err
	}
	return conn.Read(make([]byte, 1024))
}
