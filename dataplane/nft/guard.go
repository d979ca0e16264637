package nft

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Flags of a table that x/sys/unix does not have, from the kernel's nf_tables.h.
// An owned table belongs to a netlink socket: the kernel refuses everybody else's
// changes, and a flush of all tables passes it over. A persistent one outlives
// its owner (Linux 6.9), and who comes next may own it.
const (
	tableOwned      = 0x2
	tablePersistent = 0x4
)

// Guarded tells whether nobody else can change the table while the Dataplane is
// open: Options.Guard was asked for, and the kernel can.
func (d *Dataplane) Guarded() bool { return d.flags&tableOwned != 0 }

// guard sets the flags if the kernel takes them. Whatever else it may refuse is
// for Check to tell.
func (d *Dataplane) guard() {
	r := newRuleset()
	r.flags = tableOwned | tablePersistent
	if d.try(context.Background(), r) == nil {
		d.flags = r.flags
	}
}

// claims tells whether the table is to be owned and is not. The kernel lets a
// persistent table have an owner later; no table becomes persistent later.
func claims(have, want *ruleset) bool { return want.flags&^have.flags&tableOwned != 0 }

// sameFlags tells whether a table's flags are as they should be, or can become
// so. A table that somebody made dormant is replaced.
func sameFlags(have, want *ruleset) bool {
	const known = tableOwned | tablePersistent
	return have.flags&^known == want.flags&^known && want.flags&^have.flags&tablePersistent == 0
}

// explainOwned says whose doing it is that the kernel refuses a change.
func explainOwned(err error, have *ruleset) error {
	if errors.Is(err, unix.EPERM) && have.flags&tableOwned != 0 {
		return fmt.Errorf("another process guards the table: %w", err)
	}
	return err
}
