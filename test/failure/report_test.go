package failure

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger collects what the events did to the traffic, for a table.
type ledger struct {
	mu   sync.Mutex
	rows []*entry
}

type entry struct {
	event      string
	counts     Counts
	times      int
	open, shut []time.Duration
}

var report ledger

func (l *ledger) add(event string, c suffered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.rows, func(e *entry) bool { return e.event == event })
	if i < 0 {
		i = len(l.rows)
		l.rows = append(l.rows, &entry{event: event})
	}
	e := l.rows[i]
	e.times++
	e.counts = e.counts.plus(c.Counts)
	e.open, e.shut = append(e.open, c.open), append(e.shut, c.shut)
}

func (c Counts) plus(o Counts) Counts {
	return Counts{
		Answered: c.Answered + o.Answered, Lost: c.Lost + o.Lost,
		Exchanged: c.Exchanged + o.Exchanged, Missed: c.Missed + o.Missed,
		Tried: c.Tried + o.Tried, Leaked: c.Leaked + o.Leaked,
		Errors: errors.Join(c.Errors, o.Errors),
	}
}

// String is the table in Markdown.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	b.WriteString("| Event | times | allowed: new, lost | allowed: open, missed | denied: tried, through | window |\n|---|---|---|---|---|---|\n")
	for _, e := range l.rows {
		c := e.counts
		fmt.Fprintf(&b, "| %s | %d | %d, **%d** | %d, **%d** | %d, **%d** | %s |\n", e.event, e.times,
			c.Answered+c.Lost, c.Lost, c.Exchanged+c.Missed, c.Missed, c.Tried, c.Leaked, e.window())
	}
	return b.String()
}

// window says for how long an event opened or shut what it should not have.
func (e *entry) window() string {
	var said []string
	if e.counts.Leaked > 0 {
		said = append(said, "open "+medianAndMost(e.open))
	}
	if e.counts.Lost > 0 {
		said = append(said, "shut "+medianAndMost(e.shut))
	}
	return strings.Join(said, ", ")
}

func medianAndMost(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("%.0f ms median, %.0f ms at most", milliseconds(times[len(times)/2]), milliseconds(times[len(times)-1]))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// publish prints the table, and writes it with what it means to the file that
// BULKHEAD_FAILURE_REPORT names.
func (l *ledger) publish(passed bool) error {
	fmt.Printf("\n%s\n%s", l, latencies)
	path := os.Getenv("BULKHEAD_FAILURE_REPORT")
	if path == "" || !passed {
		return nil
	}
	text, err := os.ReadFile("report.md")
	if err != nil {
		return fmt.Errorf("read report's text: %w", err)
	}
	page := strings.NewReplacer("{{events}}\n", l.String(), "{{latencies}}\n", latencies.String()).Replace(string(text))
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
