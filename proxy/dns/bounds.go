package dns

import (
	"net/netip"
	"sync"
)

// How many queries may wait for their answers.
const (
	mostWaiting       = 16_384
	mostWaitingPerPod = 1_024
)

// bounds counts queries that wait.
type bounds struct {
	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

func newBounds() *bounds { return &bounds{of: map[netip.Addr]int{}} }

// take counts one more for a pod, if there may be one more.
func (b *bounds) take(pod netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= mostWaiting || b.of[pod] >= mostWaitingPerPod {
		return false
	}
	b.all++
	b.of[pod]++
	return true
}

func (b *bounds) give(pod netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[pod]--; b.of[pod] == 0 {
		delete(b.of, pod)
	}
}
