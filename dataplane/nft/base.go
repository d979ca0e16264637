package nft

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane"
)

// text is a rule as it is written down in this package.
type text struct {
	comment string
	exprs   []expr.Any
}

// addChain encodes a chain's rules.
func (r *ruleset) addChain(name, comment string, h hook, rules ...text) error {
	c := &chain{hook: h, comment: comment}
	for i, t := range rules {
		encoded, err := encodeExprs(t.exprs)
		if err != nil {
			return fmt.Errorf("rule %d of chain %s: %w", i+1, name, err)
		}
		c.rules = append(c.rules, rule{exprs: encoded, comment: t.comment})
	}
	r.chains[name] = c
	return nil
}

// addBase adds what is there whatever the plan says: base chains, the chains
// that look both ends up, and the empty maps.
func (r *ruleset) addBase(node string, resetTCP bool) error {
	r.exists = true
	r.comment = tableComment(node)
	r.addBaseSets()
	for _, f := range families {
		for _, add := range []func(family) error{r.addJudge, r.addReply} {
			if err := add(f); err != nil {
				return err
			}
		}
	}
	for _, add := range []func() error{r.addPrerouting, r.addOutput, r.addRelated} {
		if err := add(); err != nil {
			return err
		}
	}
	return r.addDeny(resetTCP)
}

// nfAccept is NF_ACCEPT of netfilter.h.
const nfAccept = 1

const tableCommentPrefix = "Bulkhead, node "

func tableComment(node string) string { return comment(tableCommentPrefix, []string{node}) }

func (r *ruleset) addBaseSets() {
	for _, f := range families {
		addr := setOf(f.addr)
		r.addSet(mapPeers+f.suffix, addr.mapTo(nftables.TypeClassID), "the peer group of an address")
		r.addSet(mapRanges+f.suffix, addr.interval().mapTo(nftables.TypeClassID), "the peer group of other addresses")
		for _, name := range []string{mapEgress, mapEgressReply, mapIngress, mapIngressReply} {
			r.addSet(name+f.suffix, addr.mapTo(nftables.TypeVerdict), "local pods and their classes")
		}
		r.addSet(setSelf+f.suffix, setOf(f.addr, f.addr), "a local pod that talks to itself")
	}
	r.addSet(mapWider, setOf(nftables.TypeClassID).mapTo(nftables.TypeClassID), "the wider group of a peer group")
	r.addSet(setGroups, setOf(nftables.TypeClassID), "what the peer groups stand for")
	r.addTypes(setND, "router and neighbour solicitation and advertisement, redirect", 133, 134, 135, 136, 137)
	r.addTypes(setMLD, "multicast listener query, report, done, report version 2", 130, 131, 132, 143)
}

// addTypes adds a set of ICMPv6 types.
func (r *ruleset) addTypes(name, comment string, types ...byte) {
	r.addSet(name, setOf(nftables.TypeICMP6Type), comment)
	for _, t := range types {
		r.addElement(name, element{key: string([]byte{t})})
	}
}

// The two hooks. A base chain's policy is accept: what we do not deny is for
// others to judge.
func baseHook(number uint32) hook {
	return hook{number: number, priority: HookPriority, base: true, policy: nfAccept}
}

func (r *ruleset) addPrerouting() error {
	rules := []text{
		{"connections that were judged and are allowed", exprs(hasLabel(dataplane.LabelAllowed), accept())},
		{"only from this link", exprs(icmp6(setND, 255), accept())},
		{"only from this link", exprs(icmp6(setMLD, 1), accept())},
		{"", exprs(hasState(stateRelated), jump(chainRelated))},
		{"a pod's answer to its own node", exprs(isReply(), toLocal(), accept())},
	}
	for _, f := range families {
		rules = append(rules, text{"", exprs(isFamily(f), jump(chainJudge+f.suffix))})
	}
	rules = append(rules, text{"judged and allowed", setLabel(dataplane.LabelAllowed)})
	return r.addChain(chainPrerouting, "what pods and the network send", baseHook(unix.NF_INET_PRE_ROUTING), rules...)
}

// addOutput is for what the node itself sends. To its own pods it may send
// everything; its answers to a pod are the pod's connection.
func (r *ruleset) addOutput() error {
	rules := []text{
		{"connections that were judged and are allowed", exprs(hasLabel(dataplane.LabelAllowed), accept())},
		{"a reset that a deny sends", exprs(isProtocol(unix.IPPROTO_TCP), hasState(stateRelated), hasFlag(flagRST), accept())},
		{"", exprs(hasState(stateRelated), jump(chainRelated))},
	}
	for _, f := range families {
		rules = append(rules,
			text{"the node's answer to a pod", exprs(isFamily(f), isReply(), jump(chainReply+f.suffix))},
			text{midway, exprs(isFamily(f), looksLikeReply(), jump(chainReply+f.suffix))})
	}
	rules = append(rules, text{"the node's own", setLabel(dataplane.LabelAllowed)})
	return r.addChain(chainOutput, "what the node sends", baseHook(unix.NF_INET_LOCAL_OUT), rules...)
}

// addRelated lets ICMP errors of allowed connections pass. Those of connections
// that were cut are dropped: an entry that never had room for a label cannot
// have dataplane.LabelCut, and errors of such connections pass.
func (r *ruleset) addRelated() error {
	return r.addChain(chainRelated, "errors that belong to a connection", hook{},
		text{"of a connection that was cut", exprs(hasLabel(dataplane.LabelCut), drop())},
		text{"", exprs(isProtocol(unix.IPPROTO_ICMP), accept())},
		text{"", exprs(isProtocol(unix.IPPROTO_ICMPV6), accept())})
}

func (r *ruleset) addDeny(resetTCP bool) error {
	var rules []text
	if resetTCP {
		reset := &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
		rules = append(rules, text{"", append(isProtocol(unix.IPPROTO_TCP), reset)})
	}
	rules = append(rules, text{"", drop()})
	return r.addChain(chainDeny, "denied by a policy", hook{}, rules...)
}

// icmp6 matches ICMPv6 types from a neighbour on the link, which the hop limit
// proves (RFC 4861, 6.1.1; RFC 3810, 5): a router in between would have lowered
// 255 and not forwarded 1.
func icmp6(types string, hopLimit byte) []expr.Any {
	const offsetHopLimit = 7
	ipv6 := families[1]
	return exprs(isFamily(ipv6),
		[]expr.Any{
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offsetHopLimit, Len: 1, DestRegister: reg1},
			equals(reg1, hopLimit),
		},
		isProtocol(unix.IPPROTO_ICMPV6),
		[]expr.Any{
			&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1, DestRegister: reg1},
			inSet(types),
		})
}

const midway = "a TCP connection picked up midway by what looks like a reply"

// looksLikeReply matches TCP packets that conntrack takes for the start of a
// connection, but which have no SYN and go from a low port to an ephemeral one.
// Somebody deleted the entry of a connection, and the server's next packet makes
// a new one with the roles swapped. Such a packet is judged in both roles, so
// that a connection that was cut does not come back. 32768 is where Linux and
// most others start their ephemeral ports.
func looksLikeReply() []expr.Any {
	const ephemeral = 32768
	return exprs(hasState(stateNew), isProtocol(unix.IPPROTO_TCP),
		append(loadFlags(flagSYN), equals(reg1, 0)),
		portBetween(offsetSource, 0, ephemeral-1),
		portBetween(offsetDest, ephemeral, 65535))
}

// addJudge judges a request: the receiver as the sender's peer, then the sender
// as the receiver's.
func (r *ruleset) addJudge(f family) error {
	reply := chainReply + f.suffix
	rules := []text{
		{"a reply without a label", exprs(isReply(), jumpTo(reply))},
		{midway, exprs(looksLikeReply(), jump(reply))},
		{"a pod that talks to itself", exprs(toSelf(f), giveBack())},
	}
	rules = append(rules, peerThenClass(f, f.dest, f.source, mapEgress)...)
	rules = append(rules, peerThenClass(f, f.source, f.dest, mapIngress)...)
	rules = append(rules, text{"", clearPriority()})
	return r.addChain(chainJudge+f.suffix, "requests", hook{}, rules...)
}

// addReply judges a reply like its request: the sender as the receiver's peer,
// then the receiver as the sender's.
func (r *ruleset) addReply(f family) error {
	rules := []text{{"a pod that talks to itself", exprs(toSelf(f), giveBack())}}
	rules = append(rules, peerThenClass(f, f.source, f.dest, mapEgressReply)...)
	rules = append(rules, peerThenClass(f, f.dest, f.source, mapIngressReply)...)
	rules = append(rules, text{"", clearPriority()})
	return r.addChain(chainReply+f.suffix, "replies, with the roles swapped", hook{}, rules...)
}

func toSelf(f family) []expr.Any {
	return append(isFamily(f), loadAddr(f, f.source, reg1), loadAddr(f, f.dest, f.second), inSet(setSelf+f.suffix))
}

func clearPriority() []expr.Any {
	return []expr.Any{&expr.Immediate{Register: reg1, Data: hostOrder(0)}, setPriority()}
}

// peerThenClass puts the peer's group into the packet's priority and jumps to
// the local pod's class.
func peerThenClass(f family, peer, pod uint32, classes string) []text {
	return []text{
		{"", clearPriority()},
		{"", append(isFamily(f), loadAddr(f, peer, reg1), mapped(mapPeers+f.suffix), setPriority())},
		{"", exprs([]expr.Any{loadPriority(), equals(reg1, hostOrder(0)...)}, isFamily(f),
			[]expr.Any{loadAddr(f, peer, reg1), mapped(mapRanges + f.suffix), setPriority()})},
		{"", append(isFamily(f), loadAddr(f, pod, reg1), byMap(classes+f.suffix))},
	}
}
