// Command agnhost stands in front of the real agnhost, the image of the
// Kubernetes test suites, at /agnhost.real.
//
// It does SCTP itself where the kernel has no SCTP sockets. It does "connect"
// itself too, as the real one does and in the same words: a suite runs that tens
// of thousands of times, and starting the real one takes ten times the CPU of
// everything else about it. "connect-all" is a word of its own: many connects at
// once, with the outcome of each. Everything else is the real one's.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	pion "github.com/pion/sctp"

	"github.com/bulkhead-dev/bulkhead/test/cluster/sctp"
)

const (
	realAgnhost = "/agnhost.real"
	portPrefix  = "SERVE_SCTP_PORT_"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "connect" {
		if r, ok := parseConnect(args[1:]); ok && r.ours() {
			os.Exit(exitCode(r.connect()))
		}
	}
	if len(args) > 0 && args[0] == "connect-all" {
		os.Exit(exitCode(connectAll(args[1:], os.Stdout)))
	}
	if len(args) > 0 && args[0] == "porter" && !sctp.Supported() {
		if values, rest := sctpPorts(os.Environ()); len(values) > 0 {
			os.Exit(porter(values, args, rest))
		}
	}
	os.Exit(fail("OTHER: %v", syscall.Exec(realAgnhost, os.Args, os.Environ())))
}

func fail(format string, args ...any) int { return exitCode(fmt.Errorf(format, args...)) }

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
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
