package nft

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// Policies tell pods by their addresses, so a pod must not send from one that is
// not its own. What comes from a pod's link is asked of the kernel's routes
// (fib): would an answer go back there? On a bridge that holds for all pods of the
// node alike.
//
// TCP is asked before it gets a label and not again: conntrack follows its
// sequence numbers. Of other protocols every packet is, since anybody who knows
// the ports can write one that belongs to another's connection.

// podBridges are the names that CNI plugins give their bridge: bridge and
// flannel, kubenet, kube-router, Azure's. The node's own uplink may be a bridge
// too, and pods are told from it by the name alone.
var podBridges = []string{"cni0", "cbr0", "kube-bridge", "azure0"}

// ifNameSize is IFNAMSIZ.
const ifNameSize = 16

func ifName(name string) []byte {
	b := make([]byte, ifNameSize)
	copy(b, name)
	return b
}

func (r *ruleset) addPodBridges() {
	r.addSet(setPodBridges, setOf(nftables.TypeIFName), "bridges that pods are ports of")
	for _, name := range podBridges {
		r.addElement(setPodBridges, element{key: string(ifName(name))})
	}
}

// metaIIFKind is NFT_META_IIFKIND of nf_tables.h, the kind of device that a packet
// came in by, since Linux 5.0.
const metaIIFKind = expr.MetaKey(26)

// fromPods are matches of packets that come from a pod's link, whole or as the
// port of a bridge.
func fromPods() [][]expr.Any {
	return [][]expr.Any{
		{&expr.Meta{Key: metaIIFKind, Register: reg1}, equals(reg1, ifName("veth")...)},
		{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, inSet(setPodBridges)},
	}
}

// addSource adds the chains of the check; with anySource they let all pass.
func (r *ruleset) addSource(anySource bool) error {
	const note = "sent from an address that is not the pod's"
	r.counters[counterSpoofed] = note
	if err := r.addChain(chainSpoofed, note, hook{}, text{"", exprs(count(counterSpoofed), drop())}); err != nil {
		return err
	}
	if err := r.addErrors(); err != nil {
		return err
	}
	source, linkLocal := errorRules(), []text{}
	for _, match := range fromPods() {
		if anySource {
			break
		}
		noWayBack := []expr.Any{
			&expr.Fib{Register: reg1, FlagSADDR: true, FlagIIF: true, ResultOIF: true},
			equals(reg1, hostOrder(0)...),
		}
		source = append(source, text{"no way back", exprs(match, noWayBack, jumpTo(chainSpoofed))})
		linkLocal = append(linkLocal, text{"no pod has it in the cluster", exprs(match, fromLinkLocal(), jumpTo(chainSpoofed))})
	}
	if err := r.addChain(chainSource, "whether a pod may send from the address", hook{}, source...); err != nil {
		return err
	}
	return r.addChain(chainLinkLocal, "IPv6 addresses that every link has", hook{}, linkLocal...)
}

func isNotTCP() []expr.Any { return not(isProtocol(unix.IPPROTO_TCP)) }

// fromLinkLocal matches fe80::/10. Every pod has such an address, policed or not,
// and no policy knows whose it is.
func fromLinkLocal() []expr.Any {
	const size = 16
	mask, prefix := make([]byte, size), make([]byte, size)
	mask[0], mask[1] = 0xff, 0xc0
	prefix[0], prefix[1] = 0xfe, 0x80
	ipv6 := families[1]
	return exprs(isFamily(ipv6), []expr.Any{
		loadAddr(ipv6, ipv6.source, reg1),
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: size, Mask: mask, Xor: make([]byte, size)},
		equals(reg1, prefix...),
	})
}

// Sources is what is known of where pods send from.
type Sources struct {
	// Spoofed is what was dropped since the table was made.
	Spoofed Denied
	// Bridges are those whose ports, the pods of this node, can use each
	// other's addresses; none: each pod is held to its own.
	Bridges []string
}

// Sources may be called while the Dataplane is used by another goroutine.
func (d *Dataplane) Sources(ctx context.Context) (Sources, error) {
	conn, err := dial(d.netns.FD())
	if err != nil {
		return Sources{}, err
	}
	counters, listErr := listCounters(ctx, conn)
	if err := errors.Join(listErr, conn.Close()); err != nil {
		return Sources{}, fmt.Errorf("read what was spoofed: %w", err)
	}
	var s Sources
	for _, m := range counters {
		if attr.Text(m, unix.NFTA_OBJ_NAME) == counterSpoofed {
			s.Spoofed = valueOf(m)
		}
	}
	bridges, err := d.bridgesWithPorts()
	s.Bridges = slices.DeleteFunc(bridges, func(name string) bool { return !slices.Contains(podBridges, name) })
	return s, err
}
