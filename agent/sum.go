package agent

import (
	"sync"

	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
)

// sum adds up a counter of the kernel, which begins anew with each table.
type sum struct {
	mu      sync.Mutex
	last    nft.Denied
	packets uint64
}

// count takes the counter in and returns the sum.
func (s *sum) count(now nft.Denied) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Packets < s.last.Packets {
		s.last = nft.Denied{}
	}
	s.packets += now.Packets - s.last.Packets
	s.last = now
	return s.packets
}
