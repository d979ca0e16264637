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
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Conn is one tracked connection.
type Conn struct {
	// From is who opened it and To who answers, after translation of To.
	From, To netip.Addr
	Protocol traffic.Protocol
	Port     uint16 // at To; zero for a protocol without ports
	Allowed  bool   // carries dataplane.LabelAllowed
	Cut      bool   // carries dataplane.LabelCut

	tuple, zone []byte // as the kernel wrote them, to name the entry
}

// Table is the conntrack table of a network namespace.
type Table struct {
	netns netns.NsHandle // our own
	conn  *netlink.Conn
	links *rtnetlink.Handle
}

// Open opens the table of the network namespace with that descriptor, which may
// be closed afterwards; zero is the process's own namespace.
func Open(fd int) (*Table, error) {
	ns, err := ownHandle(fd)
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	t := &Table{netns: ns}
	if t.conn, err = dial(int(ns)); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	if t.links, err = rtnetlink.NewHandleAt(ns, unix.NETLINK_ROUTE); err != nil {
		return nil, errors.Join(fmt.Errorf("open route socket: %w", err), t.conn.Close(), ns.Close())
	}
	return t, nil
}

func ownHandle(fd int) (netns.NsHandle, error) {
	if fd == 0 {
		return netns.Get()
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	return netns.NsHandle(own), err
}

// Close lets go of the kernel's handles.
func (t *Table) Close() error {
	t.links.Close()
	return errors.Join(t.conn.Close(), t.netns.Close())
}

// Count is how many connections a Revoke looked at and how many it cut.
type Count struct {
	Seen, Cut int
}

// Revoke cuts the connections in a scope that the plan denies; x is an index of
// p, and the tables must have p already.
//
// It looks twice. A packet that was judged by the tables before may still be on
// its way, and its entry come into the table, or get its label, after the first
// look. The kernel handles a forwarded packet from our hook until its entry is
// in the table within one RCU read-side section, so after a grace period no such
// packet is left, and the second look finds all. Packets that somebody holds in
// user space meanwhile (nfqueue) are the exception.
func (t *Table) Revoke(ctx context.Context, p *plan.Plan, x *plan.Index, scope plan.Scope) (Count, error) {
	var total Count
	if scope.Empty() {
		return total, nil
	}
	for look := range 2 {
		if look > 0 {
			if err := awaitGracePeriod(ctx); err != nil {
				return total, err
			}
		}
		n, err := t.revoke(ctx, p, x, scope)
		total.Seen += n.Seen
		total.Cut += n.Cut
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (t *Table) revoke(ctx context.Context, p *plan.Plan, x *plan.Index, scope plan.Scope) (Count, error) {
	own, err := t.nodeAddrs()
	if err != nil {
		return Count{}, err
	}
	conns, err := t.list(ctx, concerned(p, scope))
	if err != nil {
		return Count{}, err
	}
	var denied []Conn
	for _, c := range conns {
		if c.Allowed && scope.Contains(p, c.From, c.To) && x.Trace(c.packet(own)) == traffic.Deny {
			denied = append(denied, c)
		}
	}
	return Count{len(conns), len(denied)}, t.cut(ctx, denied)
}

func (c Conn) packet(own map[netip.Addr]bool) plan.Packet {
	return plan.Packet{From: c.From, To: c.To, Protocol: c.Protocol, Port: c.Port, FromNode: own[c.From]}
}

// nodeAddrs are the addresses that the node itself sends from.
func (t *Table) nodeAddrs() (map[netip.Addr]bool, error) {
	list, err := t.links.AddrList(nil, rtnetlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the node's addresses: %w", err)
	}
	own := map[netip.Addr]bool{}
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			own[addr.Unmap()] = true
		}
	}
	return own, nil
}

// fewAddrs is up to how many addresses the kernel is asked for each by itself.
// Each question walks the whole table, but copies out only what it is about.
const fewAddrs = 4

// concerned are the addresses that a scope is about, nil if they are many or
// not known one by one.
func concerned(p *plan.Plan, scope plan.Scope) []netip.Addr {
	if scope.All || len(scope.Ranges) > 0 {
		return nil
	}
	set := map[netip.Addr]struct{}{}
	for addr := range scope.Local {
		set[addr] = struct{}{}
	}
	for addr := range scope.Peers {
		set[addr] = struct{}{}
	}
	for addr, local := range p.Local {
		_, egress := scope.Classes[local.Egress]
		_, ingress := scope.Classes[local.Ingress]
		if egress || ingress {
			set[addr] = struct{}{}
		}
	}
	if len(set) > fewAddrs {
		return nil
	}
	addrs := make([]netip.Addr, 0, len(set))
	for addr := range set {
		addrs = append(addrs, addr)
	}
	return addrs
}
