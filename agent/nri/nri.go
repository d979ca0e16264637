// Package nri hears from the container runtime which pods start, by the Node
// Resource Interface of containerd and CRI-O: a pod's addresses are known before
// its first process runs, while the API gets them later.
//
// Run is one session with the runtime. It speaks the plugin's side of the
// protocol nri.pkg.api.v1alpha1: protobuf messages in ttrpc frames in a
// multiplexed socket. Of all that a plugin may do it only listens. The runtime
// waits for the answer to a pod's start, two seconds by default, and then goes on
// without this plugin.
//
// A session owns its connection and goroutines. Options.Started may be called by
// several goroutines.
package nri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Socket is where runtimes listen for plugins.
const Socket = "/var/run/nri/nri.sock"

// Pod is a pod's sandbox.
type Pod struct {
	Namespace, Name string
	// Addrs are its addresses, the primary first. None: it is on its node's
	// network, or the runtime does not tell (before NRI 0.8).
	Addrs []netip.Addr
}

// Options are a plugin's choices.
type Options struct {
	Socket string // empty: Socket
	// Started is told of a pod whose sandbox is there and whose containers are
	// not. They wait for its return. Pods that ran before are told as well, and
	// nobody waits.
	Started func(context.Context, Pod)
	// Stopped is told of a pod whose sandbox goes.
	Stopped func(Pod)
	// Connected is told when the runtime has accepted the plugin.
	Connected func(runtime, version string)
}

// The plugin's name, and its place among others: those that change containers
// come before.
const (
	pluginName  = "bulkhead"
	pluginIndex = "90"
)

// session is one connection.
type session struct {
	Options
	conn    net.Conn
	running sync.WaitGroup

	writing sync.Mutex
}

// Run registers the plugin and listens until the context or the connection ends.
func Run(ctx context.Context, options Options) error {
	if options.Socket == "" {
		options.Socket = Socket
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", options.Socket)
	if err != nil {
		return fmt.Errorf("connect to runtime: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s := &session{Options: options, conn: conn}
	defer s.running.Wait()
	defer cancel()
	defer conn.Close()
	defer stop()
	if err := s.send(connRuntime, 1, typeRequest, registration()); err != nil {
		return fmt.Errorf("register with runtime: %w", err)
	}
	err = s.listen(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("listen to runtime: %w", err)
}

// listen answers the runtime until the connection ends.
func (s *session) listen(ctx context.Context) error {
	return s.receive(func(conn uint32, m message) error {
		switch {
		case conn == connRuntime && m.kind == typeResponse:
			if why := failure(m.body); why != "" {
				return errors.New("the runtime does not want this plugin: " + why)
			}
		case conn == connPlugin && m.kind == typeRequest:
			s.running.Go(func() { s.answer(ctx, m) })
		}
		return nil
	})
}

// answer does what a request asks. A connection that ends meanwhile is noticed
// where it is read.
func (s *session) answer(ctx context.Context, m message) {
	method, payload := request(m.body)
	reply := response(nil)
	switch method {
	case "Configure":
		if s.Connected != nil {
			s.Connected(runtimeOf(payload))
		}
		reply = response(subscription())
	case "Synchronize":
		pods, more := podsOf(payload)
		s.running.Go(func() {
			for _, p := range pods {
				s.Started(ctx, p)
			}
		})
		reply = response(synchronized(more))
	case "RunPodSandbox":
		s.Started(ctx, podIn(payload, fieldRequestPod))
	case "StopPodSandbox", "RemovePodSandbox":
		s.Stopped(podIn(payload, fieldRequestPod))
	case "StateChange": // as runtimes told it before they had calls of their own
		switch pod := podIn(payload, fieldEventPod); eventOf(payload) {
		case eventRunPod:
			s.Started(ctx, pod)
		case eventStopPod, eventRemovePod:
			s.Stopped(pod)
		}
	case "Shutdown":
	default:
		reply = unimplemented(method)
	}
	_ = s.send(connPlugin, m.stream, typeResponse, reply)
}
