package dns

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/names"
)

// learner puts what answers say into the table, and from there into the kernel.
type learner struct {
	policy Policy
	inUse  func() (map[netip.Addr]bool, error)
	log    *slog.Logger

	mu      sync.Mutex
	table   *names.Table
	pending map[string]*commit // the last of each selector, while it is on its way
	dirty   bool               // the table is not written down
}

// commit is a change on its way to the kernel.
type commit struct {
	done chan struct{}
	err  error // once done is closed
}

// learn notes an answer for some selectors. The answer may be handed on once the
// commits that are returned are done.
func (l *learner) learn(keys []string, f found, now time.Time) []*commit {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := map[string][]netip.Addr{}
	for _, key := range keys {
		if l.table.Learn(key, f.addrs, f.ttl, now) {
			changed[key] = l.table.Addresses(key)
		}
	}
	l.dirty = true
	l.tell(changed)
	var waiting []*commit
	for _, key := range keys {
		if c, ok := l.pending[key]; ok {
			waiting = append(waiting, c)
		}
	}
	return waiting
}

// tell hands changes on, in the order in which the table had them.
func (l *learner) tell(changed map[string][]netip.Addr) {
	if len(changed) == 0 {
		return
	}
	c := &commit{done: make(chan struct{})}
	for key := range changed {
		l.pending[key] = c
	}
	wait := l.policy.Learn(changed)
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), commitPatience)
		defer stop()
		c.err = wait(ctx)
		l.mu.Lock()
		maps.DeleteFunc(l.pending, func(_ string, p *commit) bool { return p == c })
		l.mu.Unlock()
		close(c.done)
	}()
}

// commitPatience is longer than a client waits, so that an answer which comes too
// late for it was not given up too soon.
const commitPatience = 10 * time.Second

// await waits for commits and returns the first failure.
func await(ctx context.Context, commits []*commit) error {
	for _, c := range commits {
		select {
		case <-c.done:
			if c.err != nil {
				return c.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// expire forgets what is over. What connections use is asked for only if there is
// something to forget.
func (l *learner) expire(now time.Time) {
	l.mu.Lock()
	due := l.table.Due(now)
	l.mu.Unlock()
	if !due {
		return
	}
	used, err := l.inUse()
	if err != nil {
		l.log.Warn("addresses of names are kept: which are in use is not known", "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := map[string][]netip.Addr{}
	for _, key := range l.table.Expire(now, func(a netip.Addr) bool { return used[a] }) {
		changed[key] = l.table.Addresses(key)
		l.dirty = true
	}
	l.tell(changed)
}

// recall brings back what was kept over a restart.
func (l *learner) recall(m names.Memory, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Recall(m, now)
	all := map[string][]netip.Addr{}
	for key := range m.Selectors {
		all[key] = l.table.Addresses(key)
	}
	l.tell(all)
}

// changes is the table if it changed since it was last asked for.
func (l *learner) changes() (names.Memory, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return names.Memory{}, false
	}
	l.dirty = false
	return l.table.Memory(), true
}
