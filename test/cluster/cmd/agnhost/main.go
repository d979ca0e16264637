// Command agnhost stands in front of the real agnhost, the image of the
// Kubernetes test suites, and does its SCTP itself where the kernel has no SCTP
// sockets. Everything else is the real one's, at /agnhost.real.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	pion "github.com/pion/sctp"
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/test/cluster/sctp"
)

const (
	realAgnhost = "/agnhost.real"
	portPrefix  = "SERVE_SCTP_PORT_"
	// defaultTimeout is agnhost's for SCTP when it is given none: the kernel's
	// patience, about.
	defaultTimeout = time.Minute
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && !sctp.Supported() {
		switch args[0] {
		case "connect":
			if target, timeout, data, ok := parseConnect(args[1:]); ok {
				os.Exit(connect(target, timeout, data))
			}
		case "porter":
			if values, rest := sctpPorts(os.Environ()); len(values) > 0 {
				os.Exit(porter(values, args, rest))
			}
		}
	}
	os.Exit(fail("OTHER: %v", syscall.Exec(realAgnhost, os.Args, os.Environ())))
}

func fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return 1
}

// parseConnect reads the arguments of agnhost connect; ok is false if they do
// not ask for SCTP.
func parseConnect(args []string) (target string, timeout time.Duration, data string, ok bool) {
	flags := pflag.NewFlagSet("connect", pflag.ContinueOnError)
	flags.ParseErrorsWhitelist.UnknownFlags = true
	flags.SetOutput(io.Discard)
	protocol := flags.String("protocol", "tcp", "")
	flags.DurationVar(&timeout, "timeout", defaultTimeout, "")
	flags.StringVar(&data, "sctp-data", "foo", "")
	if err := flags.Parse(args); err != nil || *protocol != "sctp" || flags.NArg() != 1 {
		return "", 0, "", false
	}
	return flags.Arg(0), timeout, data, true
}

// connect succeeds once the server has answered, and says why not in agnhost's
// words.
func connect(target string, timeout time.Duration, data string) int {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := sctp.Dial(ctx, target)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fail("TIMEOUT")
	case errors.Is(err, sctp.ErrRefused):
		return fail("REFUSED")
	case err != nil:
		return fail("OTHER: %v", err)
	}
	deadline, _ := ctx.Deadline()
	if err := errors.Join(conn.SetReadDeadline(deadline), exchange(conn, data)); err != nil {
		return fail("OTHER: %v", err)
	}
	closing, done := context.WithTimeout(ctx, time.Second)
	defer done()
	// What was to be shown has been: an unanswered goodbye is no failure.
	_ = conn.Close(closing)
	return 0
}

func exchange(conn *sctp.Conn, data string) error {
	if _, err := conn.Write([]byte(data + "\n")); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1024))
	return err
}

// sctpPorts takes the SCTP servers out of porter's environment.
func sctpPorts(environment []string) (values map[uint16]string, rest []string) {
	values = map[uint16]string{}
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		number, isPort := strings.CutPrefix(name, portPrefix)
		port, err := strconv.ParseUint(number, 10, 16)
		if !isPort || err != nil {
			rest = append(rest, variable)
			continue
		}
		values[uint16(port)] = value
	}
	return values, rest
}

// porter serves SCTP and leaves the other protocols to the real agnhost.
func porter(values map[uint16]string, args, environment []string) int {
	var ports []uint16
	for port := range values {
		ports = append(ports, port)
	}
	server := sctp.NewServer(func(port uint16, stream *pion.Stream) {
		if _, err := stream.Write([]byte(values[port])); err != nil {
			fmt.Println("Failed to send response", err)
		}
	}, ports...)
	go func() { os.Exit(fail("sctp server: %v", server.Serve())) }()
	child := exec.Command(realAgnhost, args...)
	child.Env, child.Stdout, child.Stderr = environment, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return fail("start %s: %v", realAgnhost, err)
	}
	// As the first process of a container, only what it asks for reaches it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for s := range signals {
			child.Process.Signal(s)
		}
	}()
	child.Wait()
	return max(child.ProcessState.ExitCode(), 1)
}
