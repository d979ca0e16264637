package conntrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// membarrierGlobal is MEMBARRIER_CMD_GLOBAL, which in the kernel is
// synchronize_rcu (Linux 4.3 and later).
const membarrierGlobal = 1

// insteadOfBarrier is the wait where the system call is not to be had: kernels
// with nohz_full processors refuse it. It is a hundred times as long as a packet
// takes on a busy machine, but not a proof.
const insteadOfBarrier = 50 * time.Millisecond

// Settle returns when every packet that the kernel was working on has its entry in
// the conntrack table or was dropped. The kernel handles a forwarded packet from
// our hook until then within one RCU read-side section, so it is enough to wait
// for a grace period. Packets that somebody holds in user space meanwhile
// (nfqueue) are the exception.
func Settle(ctx context.Context) error {
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0)
	switch {
	case errno == 0:
		return nil
	case !errors.Is(errno, unix.EINVAL) && !errors.Is(errno, unix.ENOSYS) && !errors.Is(errno, unix.EPERM):
		return fmt.Errorf("wait for packets on their way: %w", errno)
	}
	timer := time.NewTimer(insteadOfBarrier)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
