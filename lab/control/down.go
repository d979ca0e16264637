package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// grace is how long a lab gets to end by itself, each time it is asked to.
const grace = 5 * time.Second

// Down ends a lab, by asking it, by signals if it does not answer, and removes
// what is left of it. It tells whether there was anything.
func (h Home) Down(ctx context.Context, name string) (bool, error) {
	names, err := h.Names()
	if err != nil || !slices.Contains(names, name) {
		return false, err
	}
	if err := h.end(ctx, name); err != nil {
		return true, fmt.Errorf("end lab %s: %w", name, err)
	}
	err = h.clean(name)
	_ = os.Remove(h.dir) // unless another lab has its files there
	return true, err
}

func (h Home) end(ctx context.Context, name string) error {
	p, err := h.process(name)
	if err != nil || p < 0 {
		return err
	}
	defer unix.Close(int(p))
	if ended, err := h.ask(ctx, name, p); ended || err != nil {
		return err
	}
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL} {
		if err := p.signal(s); err != nil {
			return err
		}
		if ended, err := p.awaitEnd(); ended || err != nil {
			return err
		}
	}
	return errors.New("its process does not end")
}

// ask makes a lab end in the way of its clients.
func (h Home) ask(ctx context.Context, name string, p process) (ended bool, err error) {
	client, err := h.Dial(name)
	if err != nil {
		return false, nil // signals will do
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if client.Stop(ctx) != nil {
		return false, nil
	}
	return p.awaitEnd()
}

// process is a descriptor of a process, which stays that process's when its
// number is given to another; negative: none.
type process int

// process is the one that holds a lab's lock.
func (h Home) process(name string) (process, error) {
	pid, err := h.Holder(name)
	if err != nil || pid == 0 {
		return -1, err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("find process %d: %w", pid, err)
	}
	if now, err := h.Holder(name); err != nil || now != pid { // it may have ended in between
		return -1, errors.Join(err, unix.Close(fd))
	}
	return process(fd), nil
}

func (p process) signal(s syscall.Signal) error {
	if err := unix.PidfdSendSignal(int(p), s, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s: %w", s, err)
	}
	return nil
}

// awaitEnd tells whether the process has ended in time.
func (p process) awaitEnd() (bool, error) {
	deadline := time.Now().Add(grace)
	for {
		fds := []unix.PollFd{{Fd: int32(p), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(0, int(time.Until(deadline).Milliseconds())))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("wait for process: %w", err)
		}
		return n > 0, nil
	}
}
