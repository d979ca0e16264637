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
func (r *ruleset) addBase(node string, options Options) error {
	r.exists = true
	r.comment = tableComment(node)
	r.addBaseSets()
	for _, add := range []func() error{
		r.addPeerChains, r.addReply, r.addTurned, r.addJudge, r.addRelated, r.addHeld,
		func() error { return r.addTrusted(false) },
		func() error { return r.addPrerouting(options.Proxy) },
		func() error { return r.addOutput(options.Proxy) },
		func() error { return r.addInspect(options.Proxy) },
	} {
		if err := add(); err != nil {
			return err
		}
	}
	if err := r.addSource(options.AnySource); err != nil {
		return err
	}
	return r.addDeny(options.ResetTCP)
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
		for _, direction := range directions {
			r.addSet(mapOfPods(direction, f), addr.mapTo(nftables.TypeClassID), "local pods and their classes")
		}
		r.addHeldSets(f)
		r.addSet(setSelf+f.suffix, setOf(f.addr, f.addr), "a local pod that talks to itself")
	}
	for _, direction := range directions {
		for _, suffix := range []string{suffixClasses, suffixReplies} {
			r.addSet(direction.String()+suffix, setOf(nftables.TypeClassID).mapTo(nftables.TypeVerdict), "the chains of the classes")
		}
	}
	r.addSet(mapWider, setOf(nftables.TypeClassID).mapTo(nftables.TypeClassID), "the wider group of a peer group")
	r.addSet(setGroups, setOf(nftables.TypeClassID), "what the peer groups stand for")
	r.addPodBridges()
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

func (r *ruleset) addPrerouting(p Proxy) error {
	rules := []text{
		{"not from another pod", exprs(isNotTCP(), jump(chainSource))},
		trusted(),
	}
	rules = append(rules, p.fromNetwork()...)
	rules = append(rules,
		text{"only from this link", exprs(icmp6(setND, 255), accept())},
		text{"only from this link", exprs(icmp6(setMLD, 1), accept())},
		text{"not from another pod", exprs(isProtocol(unix.IPPROTO_TCP), jump(chainSource))},
		text{"", jump(chainLinkLocal)},
		text{"", exprs(hasState(stateRelated), jump(chainRelated))},
		text{"a pod's answer to its own node", exprs(isReply(), toLocal(), accept())})
	for _, f := range families {
		rules = append(rules, heldRules(f)...)
	}
	rules = append(rules, text{"", jump(chainJudge)})
	rules = append(rules, toInspect()...)
	rules = append(rules, text{"judged and allowed", setLabel(dataplane.LabelAllowed)})
	return r.addChain(chainPrerouting, "what pods and the network send", baseHook(unix.NF_INET_PRE_ROUTING), rules...)
}

// addOutput is for what the node itself sends. To its own pods it may send
// everything; its answers to a pod are the pod's connection.
func (r *ruleset) addOutput(p Proxy) error {
	rules := []text{trusted()}
	rules = append(rules, p.fromNode()...)
	rules = append(rules,
		text{"a reset that a deny sends", exprs(isProtocol(unix.IPPROTO_TCP), hasState(stateRelated), hasFlag(flagRST), accept())},
		text{"", exprs(hasState(stateRelated), jump(chainRelated))},
		text{"the node's answer to a pod", jump(chainTurned)},
		text{"the node's own", setLabel(dataplane.LabelAllowed)})
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
