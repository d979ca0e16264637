package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/space"
)

// drainAddr is the fabric's only address, and only the outside host knows it.
var drainAddr = netip.MustParseAddr("169.254.254.3")

const (
	// drainTrips is how many trips a drain makes. Each moves all packets that
	// were under way by one device or more. The longest way, from a pod to a pod
	// of another node and back, with neighbours to be resolved on both bridges,
	// is 16 devices.
	drainTrips = 64
	// drainTimeout is for one attempt at a trip, which takes microseconds on an
	// idle machine.
	drainTimeout  = 500 * time.Millisecond
	drainAttempts = 40
)

// Drain returns when every packet that was under way when it was called has
// arrived or was dropped, and so have the kernel's answers to it (SYN-ACK, RST,
// ICMP).
//
// It rests on how veth devices work: what is sent on a CPU is put at the end of
// that CPU's queue and taken from its front, whatever the device (backlog,
// net/core/dev.c), and what a packet causes is put at the end again. A packet of
// our own that arrives has therefore left behind all that was in the queue. Where
// packets are spread over CPUs (net.core.rps_default_mask, off unless somebody
// turned it on) the order is not kept, and only repeated attempts help.
func (n *Network) Drain(ctx context.Context) error {
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return fmt.Errorf("list CPUs: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for cpu := range len(cpus) * 64 {
		if cpus.IsSet(cpu) {
			group.Go(func() error { return n.drainCPU(ctx, cpu) })
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("drain network: %w", err)
	}
	return nil
}

// drainCPU makes the trips on one CPU, with a thread that ends with them, so that
// no other goroutine is tied to the CPU.
func (n *Network) drainCPU(ctx context.Context, cpu int) (err error) {
	space.OnOwnThread(func() {
		var only unix.CPUSet
		only.Set(cpu)
		if err = unix.SchedSetaffinity(0, &only); err != nil {
			err = fmt.Errorf("stay on CPU %d: %w", cpu, err)
			return
		}
		err = n.trips(ctx)
	})
	return err
}

func (n *Network) trips(ctx context.Context) error {
	t, err := n.newTripper()
	if err != nil {
		return err
	}
	defer t.close()
	for i := range uint64(drainTrips) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.trip(i); err != nil {
			return err
		}
	}
	return nil
}

// tripper sends datagrams from the outside host to the fabric.
type tripper struct {
	in, out int
	to      unix.Sockaddr
}

func (n *Network) newTripper() (*tripper, error) {
	t := &tripper{in: -1, out: -1}
	open := func(h *host, fd *int) error {
		return h.space.Do(func() (err error) {
			*fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			return err
		})
	}
	err := errors.Join(open(n.fabric, &t.in), open(n.outside, &t.out))
	if err == nil {
		err = unix.Bind(t.in, &unix.SockaddrInet4{Addr: drainAddr.As4()})
	}
	if err == nil {
		t.to, err = unix.Getsockname(t.in)
	}
	if err == nil {
		timeout := unix.NsecToTimeval(drainTimeout.Nanoseconds())
		err = unix.SetsockoptTimeval(t.in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	}
	if err != nil {
		t.close()
		return nil, fmt.Errorf("open sockets: %w", err)
	}
	return t, nil
}

func (t *tripper) close() {
	for _, fd := range []int{t.in, t.out} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// trip sends one datagram and waits for it. A queue that overflows may lose it,
// so it is sent again.
func (t *tripper) trip(number uint64) error {
	for range drainAttempts {
		if err := unix.Sendto(t.out, binary.NativeEndian.AppendUint64(nil, number), 0, t.to); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		err := t.receive(number)
		if !errors.Is(err, unix.EAGAIN) {
			return err
		}
	}
	return fmt.Errorf("receive: %w: nothing arrived of %d attempts", os.ErrDeadlineExceeded, drainAttempts)
}

func (t *tripper) receive(number uint64) error {
	buffer := make([]byte, 8)
	for {
		_, _, err := unix.Recvfrom(t.in, buffer, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case binary.NativeEndian.Uint64(buffer) == number:
			return nil
		}
	}
}
