package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/lab/listen"
	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// question makes whatever listens answer: it is a name server's query for the
// root's name servers (RFC 1035, 4.1), and a datagram like any other to the rest.
var question = []byte("bh\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01")

// greeting makes listeners of streams say who they are.
var greeting = []byte("?\n")

// attempt is a socket that tries a probe.
type attempt struct {
	fd       int
	stream   bool
	outcome  Outcome // Silent until something comes
	answer   string
	err      error
	finished bool // nothing more is expected
}

// batch is attempts at the same time, with an epoll descriptor for all.
type batch struct {
	epoll    int
	attempts []attempt
}

func newBatch(size int) (*batch, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open epoll: %w", err)
	}
	b := &batch{epoll: epoll, attempts: make([]attempt, size)}
	for i := range b.attempts {
		b.attempts[i].fd = -1
	}
	return b, nil
}

// close ends all connections at once, with a reset, so that nothing of them is
// left waiting in the kernel.
func (b *batch) close() {
	for i := range b.attempts {
		if a := &b.attempts[i]; a.fd >= 0 {
			_ = unix.SetsockoptLinger(a.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(a.fd)
		}
	}
	unix.Close(b.epoll)
}

// send starts all attempts, from each namespace in one go.
func (b *batch) send(probes []Probe, chunk []int) error {
	from := map[*space.Space][]int{}
	for n, i := range chunk {
		from[probes[i].From] = append(from[probes[i].From], n)
	}
	var group errgroup.Group
	group.SetLimit(senders)
	for s, members := range from {
		group.Go(func() error {
			return s.Do(func() error {
				for _, n := range members {
					b.attempts[n].start(&probes[chunk[n]])
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("send probes: %w", err)
	}
	return b.watch()
}

// senders is how many threads send.
const senders = 4

// start sends a probe's first packet. It leaves the outcome open, or Unknown
// with the error.
func (a *attempt) start(p *Probe) {
	a.stream = p.Protocol != traffic.UDP
	if err := a.open(p); err != nil {
		a.fail(err)
		return
	}
	a.outcome = Silent
	to, _ := listen.Sockaddr(p.To)
	err := unix.Connect(a.fd, to)
	if err == nil && !a.stream {
		_, err = unix.SendmsgN(a.fd, question, nil, nil, unix.MSG_NOSIGNAL)
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		a.judge(err)
	}
}

func (a *attempt) open(p *Probe) error {
	kind := unix.SOCK_STREAM
	if !a.stream {
		kind = unix.SOCK_DGRAM
	}
	_, domain := listen.Sockaddr(p.To)
	var err error
	if a.fd, err = listen.Socket(domain, kind, p.Protocol); err != nil || !p.Source.IsValid() {
		return err
	}
	source, _ := listen.Sockaddr(netip.AddrPortFrom(p.Source, 0))
	if err := unix.Bind(a.fd, source); err != nil {
		return fmt.Errorf("send from %s: %w", p.Source, err)
	}
	return nil
}

// judge takes an error of the connection for what it says of the way there.
func (a *attempt) judge(err error) {
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		a.outcome, a.finished = Refused, true
	case errors.Is(err, unix.EPERM): // a filter of the sender's own namespace
		a.finished = true
	default:
		a.fail(fmt.Errorf("connect: %w", err))
	}
}

func (a *attempt) fail(err error) {
	a.outcome, a.err, a.finished = Unknown, err, true
}

// watch makes epoll tell of all attempts that are open.
func (b *batch) watch() error {
	for i := range b.attempts {
		a := &b.attempts[i]
		if a.finished {
			continue
		}
		event := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if a.stream {
			event.Events |= unix.EPOLLOUT
		}
		if err := unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, a.fd, event); err != nil {
			return fmt.Errorf("watch probe: %w", err)
		}
	}
	return nil
}

// collect takes what has come, without waiting.
func (b *batch) collect() error {
	for {
		n, err := b.take(0)
		if n == 0 || err != nil {
			return err
		}
	}
}

// answerTimeout is how long those that are connected are given to say who they
// are. Their answers are for people and decide nothing.
const answerTimeout = time.Second

func (b *batch) awaitAnswers() error {
	deadline := time.Now().Add(answerTimeout)
	missing := func(a attempt) bool { return a.stream && a.outcome == Answered && !a.finished }
	for slices.ContainsFunc(b.attempts, missing) {
		rest := time.Until(deadline)
		if rest <= 0 {
			return nil
		}
		if _, err := b.take(int(rest.Milliseconds()) + 1); err != nil {
			return err
		}
	}
	return nil
}

// take takes what has come, and waits that many milliseconds for it.
func (b *batch) take(timeout int) (int, error) {
	events := make([]unix.EpollEvent, len(b.attempts))
	n, err := unix.EpollWait(b.epoll, events, timeout)
	if errors.Is(err, unix.EINTR) {
		return b.take(timeout)
	}
	if err != nil {
		return 0, fmt.Errorf("collect answers: %w", err)
	}
	for _, event := range events[:n] {
		if err := b.handle(&b.attempts[event.Fd], event); err != nil {
			return 0, fmt.Errorf("collect answers: %w", err)
		}
	}
	return n, nil
}

// handle takes an event and says what else is to be waited for.
func (b *batch) handle(a *attempt, event unix.EpollEvent) error {
	if a.stream && a.outcome == Silent {
		a.connected()
	} else {
		a.read()
	}
	if a.finished {
		return unix.EpollCtl(b.epoll, unix.EPOLL_CTL_DEL, a.fd, nil)
	}
	event.Events = unix.EPOLLIN
	return unix.EpollCtl(b.epoll, unix.EPOLL_CTL_MOD, a.fd, &event)
}

// connected: the attempt to connect has ended.
func (a *attempt) connected() {
	code, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		a.judge(err)
		a.finished = true
		return
	}
	if _, err := unix.Getpeername(a.fd); err != nil {
		return // the socket is ready for nothing
	}
	a.outcome = Answered
	_, err = unix.SendmsgN(a.fd, greeting, nil, nil, unix.MSG_NOSIGNAL)
	a.finished = err != nil
}

// read takes an answer, or the error that came instead.
func (a *attempt) read() {
	buffer := make([]byte, 256)
	n, err := unix.Read(a.fd, buffer)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return
	case err != nil && !a.stream:
		a.judge(err)
	case err == nil:
		a.outcome, a.answer = Answered, readable(buffer[:n])
	}
	a.finished = true
}

// readable is the first line of an answer, empty if it is no text.
func readable(answer []byte) string {
	line, _, _ := strings.Cut(string(answer), "\n")
	line = strings.TrimSpace(line)
	if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return ""
	}
	return line
}

func (a *attempt) result() Result {
	return Result{Outcome: a.outcome, Answer: a.answer, Err: a.err}
}
