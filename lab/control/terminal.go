package control

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// ExecTerminal is Exec with a terminal: the program gets one of its own, whose
// keys and screen are the user's.
func (c *Client) ExecTerminal(ctx context.Context, e Exec, stdin, stdout *os.File) (int, error) {
	ours, theirs, err := openTerminal()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	stopSizes := followSize(stdout, ours)
	defer stopSizes()
	before, err := term.MakeRaw(int(stdin.Fd()))
	if err != nil {
		theirs.Close()
		return 0, fmt.Errorf("set terminal: %w", err)
	}
	defer term.Restore(int(stdin.Fd()), before)
	go io.Copy(ours, stdin) // ends with the process: reading a terminal cannot be given up
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(stdout, ours) // ends with an error when nobody has the other end
	}()
	e.Terminal = true
	code, err := c.Exec(ctx, e, theirs, theirs, theirs)
	theirs.Close()
	<-shown
	return code, err
}

// openTerminal makes a pseudo-terminal.
func openTerminal() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	fd := int(ours.Fd())
	number := 0
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
	}
	if err == nil {
		theirs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	return ours, theirs, nil
}

// followSize keeps a terminal as large as another.
func followSize(from, to *os.File) (stop func()) {
	resize := func() {
		if size, err := unix.IoctlGetWinsize(int(from.Fd()), unix.TIOCGWINSZ); err == nil {
			_ = unix.IoctlSetWinsize(int(to.Fd()), unix.TIOCSWINSZ, size)
		}
	}
	resize()
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, unix.SIGWINCH)
	go func() {
		for range changes {
			resize()
		}
	}()
	return func() {
		signal.Stop(changes)
		close(changes)
	}
}
