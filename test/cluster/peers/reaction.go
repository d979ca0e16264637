package peers

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
)

const (
	probePeriod  = time.Millisecond
	probeTimeout = 300 * time.Millisecond // well below TCP's first second
	// quiet is how long nothing may get through before a deny is taken to work:
	// longer than engines that poll take between two looks.
	quiet = 1500 * time.Millisecond
	// never is how long a reaction is waited for.
	never = 20 * time.Second
)

// reaction times how soon a deny works, how soon its end does, and how soon a new
// client pod is let in, each from the moment the API knows.
func reaction(ctx context.Context, config *Config, worlds []*world) error {
	for i := range config.Times {
		for _, w := range worlds {
			if !w.engine.None() {
				if err := w.denyAndAllow(ctx); err != nil {
					return err
				}
			}
			// Without an engine it shows what the measurement itself takes.
			if err := w.admitNewcomer(ctx, fmt.Sprintf("newcomer-%d", i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// denyAndAllow makes a policy that denies the target everything, and deletes it.
func (w *world) denyAndAllow(ctx context.Context) error {
	p := probe(w.pods["client"], netip.AddrPortFrom(w.address, servicePort), probePeriod, probeTimeout)
	err := w.timeDeny(ctx, p)
	if err == nil {
		err = w.timeAllow(ctx, p)
	}
	if _, failed := p.stop(); failed != nil {
		return fmt.Errorf("probe: %w", failed)
	}
	return err
}

func (w *world) timeDeny(ctx context.Context, p *prober) error {
	if _, err := p.awaitPass(ctx, time.Now()); err != nil {
		return fmt.Errorf("before a deny: %w", err)
	}
	if err := w.policy(ctx, benchSpace, "deny", selects("target")); err != nil {
		return err
	}
	from := time.Now()
	last, err := p.awaitQuiet(ctx, from)
	if err != nil {
		return fmt.Errorf("after a deny: %w", err)
	}
	w.result.Deny = append(w.result.Deny, since(from, last))
	return nil
}

func (w *world) timeAllow(ctx context.Context, p *prober) error {
	if err := w.deletePolicy(ctx, "deny"); err != nil {
		return err
	}
	from := time.Now()
	first, err := p.awaitPass(ctx, from.Add(-probePeriod))
	if err != nil {
		return fmt.Errorf("after the end of a deny: %w", err)
	}
	w.result.Allow = append(w.result.Allow, since(from, first))
	return nil
}

// awaitPass waits for a try that began after a time to be let through.
func (p *prober) awaitPass(ctx context.Context, from time.Time) (first time.Time, err error) {
	limit := time.Now().Add(never)
	err = await(ctx, "a connection", func() (bool, error) {
		var any bool
		first, _, any = p.passedSince(from)
		return any || time.Now().After(limit), nil
	})
	if err == nil && first.IsZero() {
		err = fmt.Errorf("nothing gets through for %s", never)
	}
	return first, err
}

// awaitQuiet waits until nothing gets through any more, and says when the last
// try began that did; the time to start from if none did.
func (p *prober) awaitQuiet(ctx context.Context, from time.Time) (last time.Time, err error) {
	last, limit, silent := from, from.Add(never), false
	err = await(ctx, "a deny", func() (bool, error) {
		if _, at, any := p.passedSince(from); any {
			last = at
		}
		silent = time.Since(last) > quiet+probeTimeout
		return silent || time.Now().After(limit), nil
	})
	if err == nil && !silent {
		err = fmt.Errorf("connections get through for %s", never)
	}
	return last, err
}

// since is the time between two moments, and 0 if they are the other way round.
func since(from, to time.Time) time.Duration { return max(to.Sub(from), 0) }

// admitNewcomer times how soon a new pod, whose label a policy on the target
// allows, gets through once the API says its address.
func (w *world) admitNewcomer(ctx context.Context, name string) error {
	if err := w.policy(ctx, benchSpace, "admit", selects("target"), allows(benchSpace, name, servicePort)); err != nil {
		return err
	}
	if err := w.awaitReach(ctx, "client", netip.AddrPortFrom(w.address, servicePort), w.engine.None()); err != nil {
		return err
	}
	from, err := w.startNewcomer(ctx, name)
	if err != nil {
		return err
	}
	view, err := w.enter(ctx, name)
	if err != nil {
		return err
	}
	defer view.Close()
	p := probe(view, netip.AddrPortFrom(w.address, servicePort), probePeriod, probeTimeout)
	first, err := p.awaitPass(ctx, from)
	if err == nil {
		w.result.Newcomer = append(w.result.Newcomer, since(from, first))
	}
	if _, failed := p.stop(); failed != nil {
		return fmt.Errorf("probe: %w", failed)
	}
	if err != nil {
		return fmt.Errorf("newcomer: %w", err)
	}
	if err := w.deletePod(ctx, name); err != nil {
		return err
	}
	if err := w.deletePolicy(ctx, "admit"); err != nil {
		return err
	}
	return w.awaitReach(ctx, "client", netip.AddrPortFrom(w.address, servicePort), true)
}

// startNewcomer starts a pod and returns when the API has said its address.
func (w *world) startNewcomer(ctx context.Context, name string) (known time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	watch, err := w.client.CoreV1().Pods(benchSpace).Watch(ctx, only)
	if err != nil {
		return time.Time{}, fmt.Errorf("watch newcomer: %w", err)
	}
	defer watch.Stop()
	if err := w.createPod(ctx, benchSpace, name, clientNode); err != nil {
		return time.Time{}, err
	}
	for event := range watch.ResultChan() {
		if addressOf(event.Object).IsValid() {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("watch newcomer: %w", context.Cause(ctx))
}

// live opens a connection to the target, denies it, and times how long the
// connection goes on exchanging bytes.
func live(ctx context.Context, config *Config, worlds []*world) error {
	for _, w := range worlds {
		if w.engine.None() {
			continue
		}
		for range 5 {
			took, goesOn, err := w.cutOff(ctx)
			if err != nil {
				return err
			}
			w.result.Live = append(w.result.Live, took)
			if goesOn {
				w.result.LiveGoesOn = true
				break
			}
		}
	}
	return nil
}

// liveLimit is how long an open connection is watched.
const liveLimit = 10 * time.Second

func (w *world) cutOff(ctx context.Context) (took time.Duration, goesOn bool, err error) {
	target := netip.AddrPortFrom(w.address, servicePort)
	if err := w.awaitReach(ctx, "client", target, true); err != nil {
		return 0, false, err
	}
	var conn int
	if err := w.pods["client"].Do(func() (err error) { conn, err = dial(target, time.Second); return err }); err != nil {
		return 0, false, fmt.Errorf("open connection: %w", err)
	}
	defer unix.Close(conn)
	if err := exchange(conn); err != nil {
		return 0, false, fmt.Errorf("use connection: %w", err)
	}
	if err := w.policy(ctx, benchSpace, "deny", selects("target")); err != nil {
		return 0, false, err
	}
	from := time.Now()
	last := from
	for {
		began := time.Now()
		if exchange(conn) != nil {
			break
		}
		last = began
		if goesOn = time.Since(from) > liveLimit; goesOn {
			break
		}
		time.Sleep(probePeriod)
	}
	return since(from, last), goesOn, w.deletePolicy(ctx, "deny")
}
