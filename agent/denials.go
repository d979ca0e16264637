package agent

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/bulkhead-dev/bulkhead/dataplane/audit"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Denials are what audited policies would have denied; an audit.Listener is.
type Denials interface {
	Next() (audit.Denial, error)
	Missed() uint64
	Close() error
}

// What is logged of denials: some at once, and then this many a second.
const (
	denialsPerSecond = 10
	denialsAtOnce    = 100
	// denialAgain is when one that was logged is logged again.
	denialAgain = time.Minute
	// denialsKnown bounds how many are remembered.
	denialsKnown = 10_000
)

// denialLog logs denials, each once a minute.
type denialLog struct {
	limit *rate.Limiter
	seen  map[seenDenial]time.Time
	quiet int // left out since the last that was logged
}

// seenDenial is a denial without its client's port.
type seenDenial struct {
	direction traffic.Direction
	from, to  netip.Addr
	protocol  traffic.Protocol
	port      uint16
}

func newDenialLog() *denialLog {
	return &denialLog{limit: rate.NewLimiter(denialsPerSecond, denialsAtOnce), seen: map[seenDenial]time.Time{}}
}

// due tells whether to log a denial, and how many were left out before it.
func (l *denialLog) due(d audit.Denial, now time.Time) (left int, due bool) {
	key := seenDenial{d.Direction, d.From, d.To, d.Protocol, d.ToPort}
	if last, ok := l.seen[key]; ok && now.Sub(last) < denialAgain {
		return 0, false
	}
	if !l.limit.AllowN(now, 1) {
		l.quiet++
		return 0, false
	}
	if len(l.seen) >= denialsKnown {
		clear(l.seen)
	}
	l.seen[key] = now
	left, l.quiet = l.quiet, 0
	return left, true
}

// readDenials logs until the context ends.
func (a *Agent) readDenials(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { a.options.Denials.Close() })
	defer stop()
	log := newDenialLog()
	for {
		d, err := a.options.Denials.Next()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.log.Error("audit is no longer logged", "error", err)
			return
		}
		if left, due := log.due(d, time.Now()); due {
			a.logDenial(d, left)
		}
	}
}

func (a *Agent) logDenial(d audit.Denial, left int) {
	attrs := []any{
		"direction", d.Direction.String(), "from", a.nameOf(d.From), "to", a.nameOf(d.To),
		"protocol", d.Protocol.String(), "port", d.ToPort,
		"policies", strings.Join(a.kernel.policiesOf(d.Class), ","),
	}
	if left > 0 {
		attrs = append(attrs, "others-not-logged", left)
	}
	a.log.Info("would be denied", attrs...)
}

// nameOf is the pod that has an address, or the address.
func (a *Agent) nameOf(addr netip.Addr) string {
	if name, ok := a.options.Source.PodAt(addr); ok {
		return name.String()
	}
	return addr.String()
}
