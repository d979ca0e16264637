// Package failure breaks what an agent stands on, in a real cluster, and counts
// the packets that got through or were lost meanwhile.
//
// The tests need root and the programs of the test cluster, so they have a module
// of their own; make test-failure runs them.
package failure

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// within runs a function on a thread in a network namespace. The thread ends
// with it, so it need not find home.
func within(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.GetFromPath(path)
		if err != nil {
			done <- fmt.Errorf("open network namespace: %w", err)
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// httpFrom is a client whose connections are made in a network namespace.
func httpFrom(path string) *http.Client {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = within(path, func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}
