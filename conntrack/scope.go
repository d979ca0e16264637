package conntrack

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// What reading the table costs: the kernel walks all its buckets, and writes out
// each entry that it is asked for. It can be asked for the entries of one end's
// address, which is two walks for each address. Measured on Linux 6.18; only the
// ratio matters.
const (
	costBucket = 40 * time.Nanosecond
	costEntry  = 2500 * time.Nanosecond
)

// manyAddrs is more than it ever pays to ask for one by one.
const manyAddrs = 16

// concerned are the connections of some addresses, and perhaps others, in the
// cheapest way.
func (t *Table) concerned(ctx context.Context, addrs []netip.Addr) ([]Conn, error) {
	entries, buckets, err := t.size.read()
	if err != nil {
		return nil, err
	}
	walk := time.Duration(buckets) * costBucket
	if whole := walk + time.Duration(entries)*costEntry; whole < time.Duration(2*len(addrs))*walk {
		return t.List(ctx)
	}
	return t.list(ctx, addrs)
}

// addresses are those that a scope is about, unless they are many or not known
// one by one.
func addresses(p *plan.Plan, scope plan.Scope) (addrs []netip.Addr, known bool) {
	if scope.All || scope.Hosts(p) || len(scope.Ranges) > 0 || len(scope.Local)+len(scope.Peers)+len(scope.Unknown) > manyAddrs {
		return nil, false
	}
	set := map[netip.Addr]struct{}{}
	for _, some := range []map[netip.Addr]struct{}{scope.Local, scope.Peers, scope.Unknown} {
		maps.Copy(set, some)
	}
	if len(scope.Classes) > 0 {
		for addr, local := range p.Local {
			_, egress := scope.Classes[local.Egress]
			_, ingress := scope.Classes[local.Ingress]
			if egress || ingress {
				set[addr] = struct{}{}
			}
		}
	}
	for addr := range set {
		addrs = append(addrs, addr)
	}
	return addrs, len(addrs) <= manyAddrs
}
