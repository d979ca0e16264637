// Package nft enforces a node's plan with the kernel's nftables, over netlink.
//
// It owns the table "inet bulkhead" and touches nothing else. Every change is
// one transaction, which the kernel makes whole or not at all, and holds only
// what differs; what stays keeps its counters. The table goes on working when
// the program ends, and the next start takes it over as it is.
//
// The chains look a packet's ends up in plain maps and sets, in the order of
// plan.Class.Lookup; docs/packet-path.md has the picture. An allowed connection
// gets a conntrack label bit, and packets with it are accepted by the first
// rules, so the cost of an established connection does not depend on the plan.
//
// A Dataplane is used by one goroutine at a time, except for Changed, Check and
// Close.
package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"

	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/namespace"
	"github.com/bulkhead-dev/bulkhead/plan"
)

var _ dataplane.Dataplane = (*Dataplane)(nil)

// Options are the choices of New. The zero value filters the process's own
// network namespace and drops without an answer.
type Options struct {
	// NetNS is a descriptor of the network namespace; zero: the process's own.
	// It may be closed after New.
	NetNS int
	// ResetTCP answers denied TCP packets with a reset, so that programs fail
	// at once instead of waiting. On a Linux bridge the kernel sends the reset
	// past its address translation, so that a pod there which asked for a
	// service does not know it for an answer, and waits all the same.
	ResetTCP bool
	// Guard keeps everybody else from changing the table while the Dataplane is
	// open, where the kernel can (Linux 6.9 and later). A table that was made
	// without is replaced once, in one transaction. Elsewhere Changed tells of
	// others' changes, and Apply mends them.
	Guard bool
	// Proxy is where connections go that are inspected. Its zero value is no
	// proxy, and then they are denied.
	Proxy Proxy
	// AnySource lets pods send from addresses that are not their own, as a pod
	// must that forwards for others.
	AnySource bool
}

// Dataplane is one network namespace's table.
type Dataplane struct {
	options Options
	flags   uint32 // of the table
	doubt   bool   // connections that were judged are judged again
	applied bool   // the table is there as the last Apply left it, or an Update
	netns   *namespace.Handle
	conn    *netlink.Conn
	watcher *watcher
}

// New opens the kernel's interface, and watches from then on for others that
// change the table. It changes nothing itself.
func New(options Options) (*Dataplane, error) {
	ns, err := namespace.Open(options.NetNS)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ns.FD())
	if err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	d := &Dataplane{options: options, netns: ns, conn: conn}
	if options.Guard {
		d.guard()
	}
	if d.watcher, err = watch(ns.FD(), conn.PID()); err != nil {
		return nil, errors.Join(err, conn.Close(), ns.Close())
	}
	return d, nil
}

// Close lets go of the kernel's handles and leaves the table in force.
func (d *Dataplane) Close() error {
	return errors.Join(d.watcher.close(), d.conn.Close(), d.netns.Close())
}

// applyAttempts is how often Apply changes the table, before it gives up because
// somebody else keeps changing it too.
const applyAttempts = 3

var errOther = errors.New("the table is not what was written; somebody else keeps changing it")

// Apply makes the whole plan true. It reads what the kernel has, changes what
// differs, and reads again to see that it is so. Where the table has something
// of a kind that cannot be changed, or the kernel refuses the change, the table
// is replaced as a whole, in one transaction as well.
func (d *Dataplane) Apply(ctx context.Context, desired *plan.Plan) error {
	want, err := render(desired, d.options)
	if err != nil {
		return fmt.Errorf("render plan: %w", err)
	}
	want.flags = d.flags
	if err := want.addTrusted(d.doubt); err != nil {
		return fmt.Errorf("render plan: %w", err)
	}
	d.applied = false
	refused := false
	for attempt := 0; ; attempt++ {
		have, err := read(ctx, d.conn)
		if err != nil {
			return d.failed("read table", err)
		}
		t := bring(have, want, refused)
		if len(t.messages) == 0 {
			d.applied = true
			return nil
		}
		if attempt == applyAttempts {
			return fmt.Errorf("apply plan: %w", errOther)
		}
		if err := commit(ctx, d.conn, &t, true); err != nil {
			err = d.failed("commit tables", explainOwned(err, have))
			if refused || ctx.Err() != nil {
				return err
			}
			refused = true
		}
	}
}

// bring is what turns one table into another: by changes, or, if they are not
// possible or were refused, by a new table in the place of the old one.
func bring(have, want *ruleset, refused bool) transaction {
	var t transaction
	if compatible(have, want) {
		if t.change(have, want); len(t.messages) == 0 || !refused {
			return t
		}
	}
	t = transaction{}
	t.addTable(want.comment, 0) // so that there is one to delete
	t.deleteTable()
	t.change(newRuleset(), want)
	return t
}

// compatible tells whether one can become the other by a change: definitions of
// what both have cannot be changed.
func compatible(have, want *ruleset) bool {
	if !have.exists {
		return true
	}
	if have.comment != want.comment || !sameFlags(have, want) {
		return false
	}
	for name, c := range want.chains {
		if h, ok := have.chains[name]; ok && (h.hook != c.hook || h.comment != c.comment) {
			return false
		}
	}
	for name, s := range want.sets {
		if h, ok := have.sets[name]; ok && (!h.typ.same(s.typ) || h.comment != s.comment) {
			return false
		}
	}
	for name, note := range want.counters {
		if h, ok := have.counters[name]; ok && h != note {
			return false
		}
	}
	return true
}

// Delete removes the table; nothing is filtered any more.
func (d *Dataplane) Delete(ctx context.Context) error {
	var t transaction
	t.addTable("", 0) // so that there is one to delete
	t.deleteTable()
	if err := commit(ctx, d.conn, &t, true); err != nil {
		return d.failed("delete table", err)
	}
	return nil
}

// failed opens a new socket after an error: answers to the failed request may
// still be on the way in the old one.
func (d *Dataplane) failed(what string, err error) error {
	return errors.Join(fmt.Errorf("%s: %w", what, err), d.reopen())
}

func (d *Dataplane) reopen() error {
	conn, err := dial(d.netns.FD())
	if err != nil {
		return err
	}
	old := d.conn
	d.conn = conn
	if err := d.watcher.ignore(conn.PID()); err != nil {
		return errors.Join(err, old.Close())
	}
	if err := old.Close(); err != nil {
		return fmt.Errorf("close netfilter socket: %w", err)
	}
	return nil
}
