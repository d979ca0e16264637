package failure

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// stopwatches are times taken several times over, by what was timed.
type stopwatches struct {
	mu    sync.Mutex
	names []string
	times map[string][]time.Duration
}

var latencies = &stopwatches{times: map[string][]time.Duration{}}

func (s *stopwatches) add(what string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.names, what) {
		s.names = append(s.names, what)
	}
	s.times[what] = append(s.times[what], d)
}

// String is the table in Markdown.
func (s *stopwatches) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	b.WriteString("| | times | window |\n|---|---|---|\n")
	for _, name := range s.names {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", name, len(s.times[name]), medianAndMost(s.times[name]))
	}
	return b.String()
}
