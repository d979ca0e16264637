package nft

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
	"github.com/bulkhead-dev/bulkhead/plan"
)

// Addresses that the node gives to its pods are held until it is known whose
// they are. This stands in front of the judging, in prerouting alone: what the
// node itself sends is not held, and its pods' answers to it carry a label.

func (r *ruleset) addHeldSets(f family) {
	r.addSet(setHeld+f.suffix, setOf(f.addr).interval(), "addresses of this node's pods")
	r.addSet(setKnown+f.suffix, setOf(f.addr), "those of them whose pod is known")
}

// heldRules are plan.Plan's holds. An address of the node itself may lie among
// its pods', such as that of a bridge; the kernel knows them first.
func heldRules(f family) []text {
	var rules []text
	for _, end := range []struct {
		offset  uint32
		isLocal func() []expr.Any
	}{{f.source, fromLocal}, {f.dest, toLocal}} {
		match := append(isFamily(f), loadAddr(f, end.offset, reg1), inSet(setHeld+f.suffix))
		match = append(match, loadAddr(f, end.offset, reg1), notInSet(setKnown+f.suffix))
		rules = append(rules, text{"", exprs(match, not(end.isLocal()), jumpTo(chainHeld))})
	}
	return rules
}

func (r *ruleset) addHeld() error {
	const note = "a pod that is not known yet"
	r.counters[counterHeld] = note
	return r.addChain(chainHeld, note, hook{}, text{"", exprs(count(counterHeld), drop())})
}

func (r *ruleset) addHeldRange(span plan.Range, _ struct{}) {
	r.addSpan(setHeld, span, "")
}

func (r *ruleset) addKnown(addr netip.Addr, _ struct{}) {
	r.addElement(setKnown+familyOf(addr.BitLen()).suffix, element{key: string(addr.AsSlice())})
}

// fromLocal: the packet's source is an address of the node.
func fromLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagSADDR: true},
		equals(reg1, hostOrder(unix.RTN_LOCAL)...),
	}
}

// not turns a match's last comparison around.
func not(match []expr.Any) []expr.Any {
	last := *match[len(match)-1].(*expr.Cmp)
	last.Op = expr.CmpOpNeq
	match[len(match)-1] = &last
	return match
}

func notInSet(name string) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, SetName: name, Invert: true}
}

// Held is what was not let through since the table was made because its pod was
// not known. It may be called while the Dataplane is used by another goroutine.
func (d *Dataplane) Held(ctx context.Context) (Denied, error) {
	conn, err := dial(d.netns.FD())
	if err != nil {
		return Denied{}, err
	}
	defer conn.Close()
	list, err := listCounters(ctx, conn)
	if err != nil {
		return Denied{}, fmt.Errorf("read what was held: %w", err)
	}
	for _, m := range list {
		if attr.Text(m, unix.NFTA_OBJ_NAME) == counterHeld {
			return valueOf(m), nil
		}
	}
	return Denied{}, nil
}
