// Package conntrack ends live connections that the policies no longer allow.
//
// An allowed connection carries a label bit in its conntrack entry, and the
// tables accept its packets because of it. Taking the bit away makes the tables
// judge the next packet in either direction. Nothing else of an entry is touched,
// and no entry is deleted: the next reply would make a new one with the roles
// swapped.
//
// Which connections those are is decided by the same plan that the tables have,
// on the connection's real ends: the source that opened it, and the source and
// port of its replies, which are the destination after translation.
//
// A Table speaks ctnetlink on one socket and is used by one goroutine at a time.
package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	rtnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/namespace"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Conn is one tracked connection.
type Conn struct {
	// From is who opened it and To who answers, after translation of To.
	From, To netip.Addr
	Protocol traffic.Protocol
	Port     uint16 // at To; of ICMP its type and code, of others without ports zero
	Allowed  bool   // carries dataplane.LabelAllowed
	Cut      bool   // carries dataplane.LabelCut
	Host     bool   // carries dataplane.LabelHost
	// Asked is where From wanted to, before translation; zero without ports.
	Asked netip.AddrPort
	// Inspected is what the proxy looks for in it, by its label; Deny: it does not
	// go to the proxy.
	Inspected traffic.Verdict

	tuple, zone []byte // as the kernel wrote them, to name the entry
}

// Table is the conntrack table of a network namespace.
type Table struct {
	netns *namespace.Handle
	conn  *netlink.Conn
	links *rtnetlink.Handle
	size  *size
	own   map[netip.Addr]bool // the node's addresses, as of the last Find
}

// Open opens the table of the network namespace with that descriptor, which may
// be closed afterwards; zero is the process's own namespace.
func Open(fd int) (*Table, error) {
	ns, err := namespace.Open(fd)
	if err != nil {
		return nil, err
	}
	t := &Table{netns: ns}
	if err := t.open(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Table) open() error {
	var err error
	if t.size, err = openSize(t.netns); err != nil {
		return err
	}
	if t.conn, err = dial(t.netns.FD()); err != nil {
		return err
	}
	if t.links, err = rtnetlink.NewHandleAt(t.netns.NsHandle(), unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open route socket: %w", err)
	}
	return nil
}

// Close lets go of the kernel's handles.
func (t *Table) Close() error {
	var err error
	if t.links != nil {
		t.links.Close()
	}
	if t.conn != nil {
		err = t.conn.Close()
	}
	if t.size != nil {
		err = errors.Join(err, t.size.close())
	}
	return errors.Join(err, t.netns.Close())
}

// Count is how many connections a Revoke looked at and how many it cut.
type Count struct {
	Seen, Cut int
}

// Revoke cuts the connections in a scope that the plan denies; x is an index of
// p, and the tables must have p already.
//
// It is to be called again after Settle. A packet that was judged by the tables
// before may still be on its way, and its entry come into the table, or get its
// label, after the first look.
func (t *Table) Revoke(ctx context.Context, p *plan.Plan, x *plan.Index, scope plan.Scope) (Count, error) {
	conns, err := t.Find(p, scope)(ctx)
	if err != nil {
		return Count{}, err
	}
	return t.Cut(ctx, p, x, scope, conns)
}

// Find prepares to read the connections that a scope of p is about, and perhaps
// others. The reading takes milliseconds, however few they are, since the kernel
// walks its whole table. It may be done by another goroutine, which does not look
// at p.
func (t *Table) Find(p *plan.Plan, scope plan.Scope) func(context.Context) ([]Conn, error) {
	if scope.Empty() {
		return func(context.Context) ([]Conn, error) { return nil, nil }
	}
	addrs, known := addresses(p, scope)
	return func(ctx context.Context) (conns []Conn, err error) {
		// The kernel answers this when nobody is changing a device, in any
		// network namespace: that can take it half a second.
		if t.own, err = t.nodeAddrs(); err != nil {
			return nil, err
		}
		if known {
			return t.concerned(ctx, addrs)
		}
		return t.List(ctx)
	}
}

// Cut is Revoke for the connections that Find found, perhaps for an older p.
func (t *Table) Cut(ctx context.Context, p *plan.Plan, x *plan.Index, scope plan.Scope, conns []Conn) (Count, error) {
	if len(conns) == 0 {
		return Count{}, nil
	}
	place := t.place(p)
	var denied []Conn
	for _, c := range conns {
		if c.passes() && scope.Contains(p, c.From, c.To) && c.loses(x.Trace(place.packet(c))) {
			denied = append(denied, c)
		}
	}
	return Count{len(conns), len(denied)}, t.cut(ctx, denied)
}

// passes tells whether the tables let the connection pass without judging it.
func (c Conn) passes() bool { return c.Allowed || c.Host || c.Inspected.Inspects() }

// loses tells whether the connection may not go on as it is. One that was allowed
// cannot go to the proxy any more, for that would have to know its beginning; one
// at the proxy may stay there.
func (c Conn) loses(now traffic.Verdict) bool {
	return c.Host && now == traffic.Deny || c.Allowed && now != traffic.Allow || c.Inspected.Inspects() && now != traffic.Allow && now != c.Inspected
}
