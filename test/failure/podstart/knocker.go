// Package podstart measures what gets through to a pod while it starts: in a real
// cluster under default deny, clients knock at the address that the next pod will
// have, before, while and after it starts.
//
// The tests need root and the programs of the test cluster; make test-podstart
// runs them.
package podstart

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// pace is how often a knocker begins a connection.
	pace = time.Millisecond
	// waiting is how many connections it has open at a time; the oldest is given
	// up for each new one.
	waiting = 16
	port    = 8080
)

// Knocker tries to connect to an address all the time, each time anew. A refusal
// counts as got through: the pod's kernel has answered.
type Knocker struct {
	to   unix.SockaddrInet4
	stop chan struct{}
	done chan error

	mu      sync.Mutex
	tried   int
	through []time.Time
}

// Knock begins, from a network namespace.
func Knock(path string, to netip.Addr) *Knocker {
	k := &Knocker{to: unix.SockaddrInet4{Port: port, Addr: to.As4()}, stop: make(chan struct{}), done: make(chan error, 1)}
	go func() { k.done <- within(path, k.run) }()
	return k
}

// Stop ends it.
func (k *Knocker) Stop() error {
	close(k.stop)
	return <-k.done
}

// Tried is how many connections were begun, and Through when one got through.
func (k *Knocker) Tried() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tried
}

// Through is when connections got through, in order.
func (k *Knocker) Through() []time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.through
}

func (k *Knocker) run() error {
	var open []unix.PollFd
	defer func() {
		for _, p := range open {
			unix.Close(int(p.Fd))
		}
	}()
	for next := time.Now(); ; next = next.Add(pace) {
		select {
		case <-k.stop:
			return nil
		default:
		}
		fd, err := k.begin()
		if err != nil {
			return err
		}
		if open = append(open, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}); len(open) > waiting {
			unix.Close(int(open[0].Fd))
			open = open[1:]
		}
		if open, err = k.await(open, next.Add(pace)); err != nil {
			return err
		}
		if behind := time.Since(next); behind > 10*pace {
			next = time.Now() // the machine was busy
		}
	}
}

func (k *Knocker) begin() (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	if err = unix.Connect(fd, &k.to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return 0, fmt.Errorf("connect: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried++
	return fd, nil
}

// await takes out those that were answered until a time.
func (k *Knocker) await(open []unix.PollFd, until time.Time) ([]unix.PollFd, error) {
	for {
		left := unix.NsecToTimespec(max(0, time.Until(until).Nanoseconds()))
		n, err := unix.Ppoll(open, &left, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return open, fmt.Errorf("wait for connections: %w", err)
		}
		if n <= 0 {
			return open, nil
		}
		now, kept := time.Now(), open[:0]
		for _, p := range open {
			if p.Revents == 0 {
				kept = append(kept, p)
				continue
			}
			if answered(int(p.Fd)) {
				k.mu.Lock()
				k.through = append(k.through, now)
				k.mu.Unlock()
			}
			unix.Close(int(p.Fd))
		}
		open = kept
	}
}

// answered tells whether the other end said something. Who says that there is no
// way to the pod is not the pod.
func answered(fd int) bool {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	return err == nil && (code == 0 || unix.Errno(code) == unix.ECONNREFUSED)
}

// Patient is one connection that is begun once and waits as long as it takes. It
// returns when it got through, or the zero time if it never did.
func Patient(path string, to netip.Addr, atMost time.Duration) <-chan time.Time {
	through := make(chan time.Time, 1)
	began := make(chan struct{})
	go func() {
		err := within(path, func() error {
			k := &Knocker{to: unix.SockaddrInet4{Port: port, Addr: to.As4()}}
			fd, err := k.begin()
			close(began)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			left := unix.NsecToTimespec(atMost.Nanoseconds())
			n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, &left, nil)
			if now := time.Now(); err == nil && n > 0 && answered(fd) {
				through <- now
				return nil
			}
			return errors.New("never got through")
		})
		if err != nil {
			through <- time.Time{}
		}
	}()
	<-began
	return through
}

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
