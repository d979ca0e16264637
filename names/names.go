// Package names remembers which addresses domain names were seen to have, for the
// selectors of the policies that ask.
//
// A selector is known by its key and has what was learned for it alone. An
// address stays until the time to live of the answer is over, and a grace
// besides; one that a connection still uses stays as long as that does. All of it
// is bounded: a selector that is full forgets what would end first.
//
// A Table belongs to one goroutine at a time. Time is told to it; the package
// does no I/O.
package names

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Limits bound what a Table remembers. A field that is zero has the value of
// DefaultLimits.
type Limits struct {
	// Addresses is how many a selector can have.
	Addresses int
	// Floor is the least time to live that counts, and Ceiling the most.
	Floor, Ceiling time.Duration
	// Grace is for how long new connections are allowed after the time to live.
	Grace time.Duration
}

// DefaultLimits let a client use an answer of no time to live at once, and a name
// have more addresses than any one answer can hold.
var DefaultLimits = Limits{Addresses: 10_000, Floor: 5 * time.Second, Ceiling: 24 * time.Hour, Grace: 30 * time.Second}

func (l Limits) orDefault() Limits {
	return Limits{
		Addresses: cmp.Or(l.Addresses, DefaultLimits.Addresses),
		Floor:     cmp.Or(l.Floor, DefaultLimits.Floor),
		Ceiling:   cmp.Or(l.Ceiling, DefaultLimits.Ceiling),
		Grace:     cmp.Or(l.Grace, DefaultLimits.Grace),
	}
}

// Table is what was learned, by selector.
type Table struct {
	limits    Limits
	selectors map[string]map[netip.Addr]time.Time // until when
}

// New is a table that has learned nothing.
func New(limits Limits) *Table {
	return &Table{limits: limits.orDefault(), selectors: map[string]map[netip.Addr]time.Time{}}
}

// Learn notes an answer for a selector, and tells whether the selector has other
// addresses now.
func (t *Table) Learn(key string, addrs []netip.Addr, ttl time.Duration, now time.Time) (changed bool) {
	until := now.Add(min(max(ttl, t.limits.Floor), t.limits.Ceiling) + t.limits.Grace)
	known, ok := t.selectors[key]
	if !ok {
		known = map[netip.Addr]time.Time{}
		t.selectors[key] = known
	}
	for _, addr := range addrs {
		addr = addr.Unmap()
		old, had := known[addr]
		if !had {
			t.makeRoom(known)
			changed = true
		}
		if old.Before(until) {
			known[addr] = until
		}
	}
	return changed
}

// makeRoom forgets what would end first.
func (t *Table) makeRoom(known map[netip.Addr]time.Time) {
	if len(known) < t.limits.Addresses {
		return
	}
	var first netip.Addr
	for addr, until := range known {
		if !first.IsValid() || until.Before(known[first]) {
			first = addr
		}
	}
	delete(known, first)
}

// Addresses are what a selector has, sorted.
func (t *Table) Addresses(key string) []netip.Addr {
	known := t.selectors[key]
	addrs := make([]netip.Addr, 0, len(known))
	for addr := range known {
		addrs = append(addrs, addr)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// Due tells whether the time of any address is over.
func (t *Table) Due(now time.Time) bool {
	for _, known := range t.selectors {
		for _, until := range known {
			if !until.After(now) {
				return true
			}
		}
	}
	return false
}

// Expire forgets addresses whose time is over, but for those that are in use:
// they get the grace once more. It returns the selectors that have lost some.
func (t *Table) Expire(now time.Time, inUse func(netip.Addr) bool) (changed []string) {
	for key, known := range t.selectors {
		lost := false
		for addr, until := range known {
			switch {
			case until.After(now):
			case inUse(addr):
				known[addr] = now.Add(t.limits.Grace)
			default:
				delete(known, addr)
				lost = true
			}
		}
		if len(known) == 0 {
			delete(t.selectors, key)
		}
		if lost {
			changed = append(changed, key)
		}
	}
	slices.Sort(changed)
	return changed
}

// Len is the number of selectors and of addresses, each counted for every
// selector that has it.
func (t *Table) Len() (selectors, addresses int) {
	for _, known := range t.selectors {
		addresses += len(known)
	}
	return len(t.selectors), addresses
}

// Memory is the table as it is written down.
type Memory struct {
	Selectors map[string]map[netip.Addr]time.Time `json:"selectors"`
}

// Memory is what the table knows, to be kept over a restart. It is the caller's.
func (t *Table) Memory() Memory {
	m := Memory{Selectors: map[string]map[netip.Addr]time.Time{}}
	for key, known := range t.selectors {
		m.Selectors[key] = make(map[netip.Addr]time.Time, len(known))
		for addr, until := range known {
			m.Selectors[key][addr] = until
		}
	}
	return m
}

// Recall adds what was kept. What has ended meanwhile gets the grace, so that
// names which were allowed stay so until they are asked for again.
func (t *Table) Recall(m Memory, now time.Time) {
	for key, known := range m.Selectors {
		for addr, until := range known {
			t.Learn(key, []netip.Addr{addr}, max(until.Sub(now)-t.limits.Grace, 0), now)
		}
	}
}
