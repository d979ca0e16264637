package nft

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// The kernel checks a table for loops whenever a jump is added to it: it walks
// every chain once for each way that leads there, and each element of a map of
// jumps is a way. So the pods' addresses lead to numbers, not to chains; there is
// one jump for each class and not for each pod, and a pod that comes or goes
// touches no jump at all. For the same reason the chain for replies is called
// from one place, see addTurned.

// addJudge judges a request: the receiver as the sender's peer, then the sender
// as the receiver's.
func (r *ruleset) addJudge() error {
	rules := []text{
		{"", jump(chainTurned)},
		{"a reply without a label was judged there", exprs(isReply(), giveBack())},
	}
	rules = append(rules, passSelf()...)
	rules = append(rules, classOf(traffic.Egress, sender, suffixClasses)...)
	rules = append(rules, classOf(traffic.Ingress, receiver, suffixClasses)...)
	rules = append(rules, text{"", clearPriority()})
	return r.addChain(chainJudge, "requests", hook{}, rules...)
}

// addReply judges a reply like its request: the sender as the receiver's peer,
// then the receiver as the sender's.
func (r *ruleset) addReply() error {
	rules := passSelf()
	rules = append(rules, classOf(traffic.Egress, receiver, suffixReplies)...)
	rules = append(rules, classOf(traffic.Ingress, sender, suffixReplies)...)
	rules = append(rules, text{"", clearPriority()})
	return r.addChain(chainReply, "replies, with the roles swapped", hook{}, rules...)
}

// addTurned sends replies on to be judged as such, and TCP packets that conntrack
// takes for the start of a connection, but which have no SYN and go from a low
// port to an ephemeral one. Somebody deleted the entry of a connection, and the
// server's next packet makes a new one with the roles swapped. Such a packet is
// judged in both roles, so that a connection that was cut does not come back.
// 32768 is where Linux and most others start their ephemeral ports.
//
// What is neither returns, rule by rule, so that there is one jump at the end
// and not one for each kind.
func (r *ruleset) addTurned() error {
	return r.addChain(chainTurned, "replies, and what may be one that is taken for a request", hook{}, turnedTo(chainReply)...)
}

// turnedTo leads to a chain for replies.
func turnedTo(chain string) []text {
	const ephemeral = 32768
	original := func(parts ...[]expr.Any) []expr.Any {
		return exprs(append(append([][]expr.Any{isOriginal()}, parts...), giveBack())...)
	}
	tcp := isProtocol(unix.IPPROTO_TCP)
	return []text{
		{"conntrack knows nothing of it", exprs(hasState(stateInvalid|stateUntracked), giveBack())},
		{"", original(hasNotState(stateNew))},
		{"", original(isNotProtocol(unix.IPPROTO_TCP))},
		{"", original(tcp, hasFlag(flagSYN))},
		{"", original(tcp, portBetween(offsetDest, 0, ephemeral-1))},
		{"", original(tcp, portBetween(offsetSource, ephemeral, 65535))},
		{"", jump(chain)},
	}
}

// passSelf passes a pod that talks to itself.
func passSelf() []text {
	var rules []text
	for _, f := range families {
		pair := append(isFamily(f), loadAddr(f, f.source, reg1), loadAddr(f, f.dest, f.second), inSet(setSelf+f.suffix))
		rules = append(rules, text{"a pod that talks to itself", exprs(pair, giveBack())})
	}
	return rules
}

// side is one end of a packet, by its offset in the family's header.
type side func(family) uint32

func sender(f family) uint32   { return f.source }
func receiver(f family) uint32 { return f.dest }

func clearPriority() []expr.Any {
	return []expr.Any{&expr.Immediate{Register: reg1, Data: hostOrder(0)}, setPriority()}
}

// classOf puts the class of the pod at one end into the packet's priority and
// jumps to its chain. A pod without a class leaves it zero, which no class has.
func classOf(direction traffic.Direction, pod side, suffix string) []text {
	rules := []text{{"", clearPriority()}}
	for _, f := range families {
		rules = append(rules, text{"", append(isFamily(f), loadAddr(f, pod(f), reg1), mapped(mapOfPods(direction, f)), setPriority())})
	}
	return append(rules, text{"", []expr.Any{loadPriority(), byMap(direction.String() + suffix)}})
}

// addPeerChains adds what every class calls first: chains that put the peer's
// group into the packet's priority, in the place of the class.
func (r *ruleset) addPeerChains() error {
	if err := r.addChain(chainPeerSource, "the sender's group", hook{}, peerOf(sender)...); err != nil {
		return err
	}
	return r.addChain(chainPeerDest, "the receiver's group", hook{}, peerOf(receiver)...)
}

func peerOf(peer side) []text {
	rules := []text{{"", clearPriority()}}
	for _, f := range families {
		rules = append(rules, text{"", append(isFamily(f), loadAddr(f, peer(f), reg1), mapped(mapPeers+f.suffix), setPriority())})
	}
	for _, f := range families {
		rules = append(rules, text{"", exprs([]expr.Any{loadPriority(), equals(reg1, hostOrder(0)...)}, isFamily(f),
			[]expr.Any{loadAddr(f, peer(f), reg1), mapped(mapRanges + f.suffix), setPriority()})})
	}
	return rules
}
