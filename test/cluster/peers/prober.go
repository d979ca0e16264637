package peers

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

// An attempt is one try to connect.
type attempt struct {
	start  time.Time
	conn   int
	over   bool
	passed bool // the handshake was done; meaningful when over
}

// A prober starts a connection every millisecond or so, each one's SYN once: a try
// is over before TCP would send it again.
type prober struct {
	target  netip.AddrPort
	timeout time.Duration // of a try
	period  time.Duration // between starts

	mu       sync.Mutex
	attempts []attempt
	stopped  bool
	done     chan error
}

// probe starts a prober in a pod.
func probe(pod ns.View, target netip.AddrPort, period, timeout time.Duration) *prober {
	p := &prober{target: target, period: period, timeout: timeout, done: make(chan error, 1)}
	go func() { p.done <- pod.Do(p.run) }()
	return p
}

// stop ends the prober when every try is over, and returns them all in order.
func (p *prober) stop() ([]attempt, error) {
	p.mu.Lock()
	p.stopped = true
	p.mu.Unlock()
	err := <-p.done
	return p.attempts, err
}

// passedSince says whether any try has been let through that began after a time,
// and when the first and the last of them began.
func (p *prober) passedSince(t time.Time) (first, last time.Time, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return passedSince(p.attempts, t)
}

func passedSince(attempts []attempt, t time.Time) (first, last time.Time, any bool) {
	for i := len(attempts) - 1; i >= 0 && !attempts[i].start.Before(t); i-- {
		if attempts[i].over && attempts[i].passed {
			if !any {
				last = attempts[i].start
			}
			first, any = attempts[i].start, true
		}
	}
	return first, last, any
}

// run is the prober's thread. It alone touches what is not over.
func (p *prober) run() error {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(poll)
	events := make([]unix.EpollEvent, 256)
	next, oldest := time.Now(), 0
	for {
		now := time.Now()
		if now.Sub(next) >= 0 {
			if next = next.Add(p.period); next.Before(now) {
				next = now
			}
			if err := p.begin(poll, now); err != nil {
				return err
			}
		}
		oldest = p.expire(oldest, now)
		n, err := unix.EpollWait(poll, events, 1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			p.settle(int(e.Fd))
		}
		if p.finished(oldest) {
			return nil
		}
	}
}

// begin starts a try, unless the prober is to stop.
func (p *prober) begin(poll int, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	conn, err := unix.Socket(family(p.target.Addr()), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptLinger(conn, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return errors.Join(err, unix.Close(conn))
	}
	a := attempt{start: now, conn: conn}
	if err := unix.Connect(conn, sockaddr(p.target)); !errors.Is(err, unix.EINPROGRESS) {
		a.over, a.passed = true, err == nil
		p.attempts = append(p.attempts, a)
		return unix.Close(conn)
	}
	p.attempts = append(p.attempts, a)
	return unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, conn, &unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLERR, Fd: int32(conn)})
}

// settle ends the try of a socket that has something to say.
func (p *prober) settle(conn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.attempts) - 1; i >= 0; i-- {
		if a := &p.attempts[i]; a.conn == conn && !a.over {
			number, err := unix.GetsockoptInt(conn, unix.SOL_SOCKET, unix.SO_ERROR)
			a.over, a.passed = true, err == nil && number == 0
			_ = unix.Close(conn)
			return
		}
	}
}

// expire ends the tries that have taken too long, and returns the place of the
// first that is not over.
func (p *prober) expire(oldest int, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; oldest < len(p.attempts); oldest++ {
		a := &p.attempts[oldest]
		if a.over {
			continue
		}
		if now.Sub(a.start) < p.timeout {
			break
		}
		a.over = true
		_ = unix.Close(a.conn)
	}
	return oldest
}

func (p *prober) finished(oldest int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped && oldest == len(p.attempts)
}
