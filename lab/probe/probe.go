// Package probe tries connections, many at once, and tells what became of each.
//
// That a connection is denied means that nothing comes back, and the package
// does not guess this from a clock. It is told when the network is calm, that is
// when everything that was sent has arrived or was dropped and all answers have
// been given; who has no answer then gets none. Since queues may overflow, what
// got no answer is tried again with a new socket until whole rounds of attempts
// change nothing.
//
// A Prober is used by one goroutine at a time.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/lab/space"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Probe is a connection to try.
type Probe struct {
	From     *space.Space
	Source   netip.Addr // to send from; its zero value: the kernel chooses
	To       netip.AddrPort
	Protocol traffic.Protocol // TCP, UDP or SCTP
}

// Outcome is what became of a probe.
type Outcome uint8

// The outcomes.
const (
	Unknown  Outcome = iota // it could not be sent: see the result's error
	Silent                  // nothing came back
	Refused                 // it arrived at a closed port
	Answered                // the connection was made, the datagram answered
)

// String is the outcome in a word.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case Silent:
		return "silent"
	case Refused:
		return "refused"
	case Answered:
		return "answered"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// MarshalText writes the outcome as String does.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (o *Outcome) UnmarshalText(text []byte) error {
	for _, known := range []Outcome{Unknown, Silent, Refused, Answered} {
		if known.String() == string(text) {
			*o = known
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// Verdict is what the outcome says of the way there: a closed port refuses only
// what arrives. It is false where nothing is known.
func (o Outcome) Verdict() (traffic.Verdict, bool) {
	switch o {
	case Answered, Refused:
		return traffic.Allow, true
	case Silent:
		return traffic.Deny, true
	}
	return traffic.Deny, false
}

// Result is what became of a probe.
type Result struct {
	Outcome Outcome
	// Answer is what the other end said, one line; empty where it said nothing
	// that people can read.
	Answer string
	// Err is why the outcome is Unknown.
	Err error
}

// Prober tries connections.
type Prober struct {
	// Calm returns when all packets under way have arrived or were dropped, and
	// all that arrived were answered.
	Calm func(context.Context) error
	// Progress is told how many probes are decided; nil: nobody asks.
	Progress func(decided int)
}

// atOnce is how many probes are under way at one time. It bounds descriptors and
// packets in queues (net.core.netdev_max_backlog is 1,000).
const atOnce = 512

// quietRounds is how many rounds in a row must change nothing. Every probe that
// is called silent has been tried once more than that.
const quietRounds = 2

// mostRounds bounds the rounds on a network that loses packets all the time.
const mostRounds = 20

// ErrLossy is the error of a network that answers something else every time.
var ErrLossy = errors.New("the network is too lossy to measure: attempts keep having different results")

// Run tries all probes and returns their results in the same order. Its error
// means that nothing was measured.
func (p *Prober) Run(ctx context.Context, probes []Probe) ([]Result, error) {
	results := make([]Result, len(probes))
	undecided := make([]int, len(probes))
	for i := range probes {
		undecided[i] = i
	}
	quiet := 0
	for round := range mostRounds {
		silent, err := p.round(ctx, probes, undecided, results)
		if err != nil {
			return nil, err
		}
		if round == 0 || len(silent) < len(undecided) {
			quiet = 0
		} else {
			quiet++
		}
		if quiet == quietRounds || len(silent) == 0 {
			p.report(len(probes))
			return results, nil
		}
		undecided = silent
	}
	return nil, ErrLossy
}

// round makes an attempt at each undecided probe and returns those that got no
// answer.
func (p *Prober) round(ctx context.Context, probes []Probe, undecided []int, results []Result) ([]int, error) {
	var silent []int
	decided := len(probes) - len(undecided)
	for chunk := range slices.Chunk(undecided, atOnce) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.attempt(ctx, probes, chunk, results); err != nil {
			return nil, err
		}
		for _, i := range chunk {
			if results[i].Outcome == Silent {
				silent = append(silent, i)
			} else {
				decided++
			}
		}
		p.report(decided)
	}
	return silent, nil
}

func (p *Prober) report(decided int) {
	if p.Progress != nil {
		p.Progress(decided)
	}
}

// attempt makes one attempt at some probes.
func (p *Prober) attempt(ctx context.Context, probes []Probe, chunk []int, results []Result) error {
	b, err := newBatch(len(chunk))
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.send(probes, chunk); err != nil {
		return err
	}
	if err := p.Calm(ctx); err != nil {
		return fmt.Errorf("wait for a calm network: %w", err)
	}
	if err := b.collect(); err != nil {
		return err
	}
	if err := b.awaitAnswers(); err != nil {
		return err
	}
	for n, i := range chunk {
		results[i] = b.attempts[n].result()
	}
	return nil
}
