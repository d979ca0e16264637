package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// A batch is what cyclonus asks of a worker in a pod, and a result how it wants
// each request of it answered.
type batch struct {
	Requests []target
}

type target struct {
	Key, Protocol, Host string
	Port                int
}

type result struct {
	Request target
	Error   string // "" is a connection
}

// connectAll makes every connection of a batch at the same time.
func connectAll(args []string, out io.Writer) error {
	flags := pflag.NewFlagSet("connect-all", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	timeout := flags.Duration("timeout", time.Second, "")
	jobs := flags.String("jobs", "", "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("parse arguments: %w", err)
	}
	var b batch
	if err := json.Unmarshal([]byte(*jobs), &b); err != nil {
		return fmt.Errorf("parse jobs: %w", err)
	}
	results := make([]result, len(b.Requests))
	var running sync.WaitGroup
	for i, t := range b.Requests {
		running.Go(func() {
			results[i].Request = t
			if err := t.connect(*timeout); err != nil {
				results[i].Error = err.Error()
			}
		})
	}
	running.Wait()
	return json.NewEncoder(out).Encode(results)
}

func (t target) connect(timeout time.Duration) error {
	r := request{protocol: strings.ToLower(t.Protocol), target: net.JoinHostPort(t.Host, strconv.Itoa(t.Port)),
		timeout: timeout, udpData: "hostname", sctpData: "hostname"}
	if !slices.Contains(protocols, r.protocol) {
		return fmt.Errorf("OTHER: unknown protocol %q", t.Protocol)
	}
	if r.ours() {
		return r.connect()
	}
	output, err := exec.Command(realAgnhost, "connect", r.target, "--protocol="+r.protocol, "--timeout="+timeout.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}
