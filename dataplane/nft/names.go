package nft

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// TableName is the one table that this package owns, in the inet family.
const TableName = "bulkhead"

// HookPriority is where our base chains stand: after destination translation at
// -100, so that a packet's addresses and ports are those of the real ends.
const HookPriority = -90

// LogGroup is the nflog group that packets go to which an audited class denies.
// Their prefix is the class's name: see ParseClass.
const LogGroup = 28647

// logLen is how much of them: the longest IP header of either family that says
// something of the ends, and the ports.
const logLen = 128

// Names of chains, maps and sets. Sets of addresses exist twice, with 4 and 6 at
// the end.
const (
	chainPrerouting = "prerouting"
	chainOutput     = "output"
	chainTrusted    = "trusted"
	chainRelated    = "related"
	chainJudge      = "judge"
	chainTurned     = "turned"
	chainReply      = "reply"
	chainPeerSource = "peer_source"
	chainPeerDest   = "peer_dest"
	chainDeny       = "deny"
	chainHeld       = "held"
	chainInspect    = "inspect"
	chainSource     = "source"
	chainLinkLocal  = "link_local"
	chainSpoofed    = "spoofed"
	chainErrors     = "errors"

	mapPeers      = "peers"
	mapRanges     = "ranges"
	mapWider      = "wider"
	setHeld       = "held"
	setKnown      = "known"
	setPodBridges = "pod_bridges"
	setSelf       = "self"
	setGroups     = "groups"
	setND         = "neighbour_discovery"
	setMLD        = "listener_discovery"

	counterHeld    = "held"
	counterSpoofed = "spoofed"
)

// The maps of pods are named like a direction, those of their classes' chains
// direction_classes and direction_replies.
const (
	suffixClasses = "_classes"
	suffixReplies = "_replies"
)

var directions = []traffic.Direction{traffic.Egress, traffic.Ingress}

func mapOfPods(direction traffic.Direction, f family) string { return direction.String() + f.suffix }

// A class's chains are named direction_id and direction_id_reply, its counter
// like the first, its sets direction_id_kind and direction_id_kind_deny. The
// longest, ingress_01234567_any_icmp_ranges_deny, is far below the
// kernel's 255 bytes.
const (
	suffixReply = "_reply"
)

func className(direction traffic.Direction, id plan.ClassID) string {
	return direction.String() + "_" + id.String()
}

// family is what differs between IPv4 and IPv6 in our rules.
type family struct {
	suffix   string
	protocol byte // NFPROTO
	addr     nftables.SetDatatype
	source   uint32 // offset of the source address in the network header
	dest     uint32
	second   uint32 // the register after one address, for a pair of them
	loopback netip.Addr
}

var families = []family{
	{"4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 12, 16, 9, netip.AddrFrom4([4]byte{127, 0, 0, 1})},
	{"6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 8, 24, 2, netip.IPv6Loopback()},
}

// familyOf is the family of an address of so many bits.
func familyOf(bits int) family {
	if bits == 32 {
		return families[0]
	}
	return families[1]
}

// Class sets, in the order of plan.Class.Lookup.
const (
	kindPorts        = "ports"       // peer, protocol and port
	kindRanges       = "ranges"      // peer, protocol and a range of ports
	kindICMP         = "icmp"        // peer, ICMP or ICMPv6, type with code
	kindICMPRanges   = "icmp_ranges" // peer, ICMP or ICMPv6, a range of these
	kindProtocols    = "protocols"   // peer and protocol
	kindPeers        = "peers"       // peer
	kindAnyPorts     = "any_ports"   // protocol and port
	kindAnyRanges    = "any_ranges"  // protocol and a range of ports
	kindAnyICMP      = "any_icmp"    // ICMP or ICMPv6, type with code
	kindAnyICMPRange = "any_icmp_ranges"
	kindAnyProtocols = "any_protocols" // protocol
	kindAny          = "any"           // everything: a rule and no set
)

// anyPrefix marks the kinds of sets without a peer.
const anyPrefix = "any_"

var (
	peerKinds    = []string{kindPorts, kindRanges, kindICMP, kindICMPRanges, kindProtocols, kindPeers}
	anyPeerKinds = []string{kindAnyPorts, kindAnyRanges, kindAnyICMP, kindAnyICMPRange, kindAnyProtocols}
)

var kindTypes = map[string]setType{
	kindPorts:        setOf(nftables.TypeClassID, nftables.TypeInetProto, nftables.TypeInetService),
	kindRanges:       setOf(nftables.TypeClassID, nftables.TypeInetProto, nftables.TypeInetService).interval(),
	kindICMP:         setOf(nftables.TypeClassID, nftables.TypeInetProto, nftables.TypeInetService),
	kindICMPRanges:   setOf(nftables.TypeClassID, nftables.TypeInetProto, nftables.TypeInetService).interval(),
	kindProtocols:    setOf(nftables.TypeClassID, nftables.TypeInetProto),
	kindPeers:        setOf(nftables.TypeClassID),
	kindAnyPorts:     setOf(nftables.TypeInetProto, nftables.TypeInetService),
	kindAnyRanges:    setOf(nftables.TypeInetProto, nftables.TypeInetService).interval(),
	kindAnyICMP:      setOf(nftables.TypeInetProto, nftables.TypeInetService),
	kindAnyICMPRange: setOf(nftables.TypeInetProto, nftables.TypeInetService).interval(),
	kindAnyProtocols: setOf(nftables.TypeInetProto),
}

func setName(class, kind string, verdict traffic.Verdict) string {
	name := class + "_" + kind
	return name + verdictSuffixes[verdict]
}

// verdictSuffixes end the names of sets by what they say.
var verdictSuffixes = map[traffic.Verdict]string{
	traffic.Deny: "_deny", traffic.InspectHTTP: "_http", traffic.InspectDNS: "_dns",
}

// hostOrder encodes a number of a type that nft keeps in host byte order.
func hostOrder(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func bigEndian(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// ParseClass reads a class's name as chains, counters and log prefixes have it.
func ParseClass(name string) (traffic.Direction, plan.ClassID, bool) {
	direction, id, rest, ok := parseClassName(name)
	return direction, id, ok && rest == ""
}

// parseClassName undoes className and says what follows it in the name of the
// class's chains and sets.
func parseClassName(name string) (direction traffic.Direction, id plan.ClassID, rest string, ok bool) {
	const digits = 8
	for _, direction := range []traffic.Direction{traffic.Egress, traffic.Ingress} {
		hex, found := strings.CutPrefix(name, direction.String()+"_")
		if !found || len(hex) < digits {
			continue
		}
		n, err := strconv.ParseUint(hex[:digits], 16, 32)
		if err != nil {
			continue
		}
		return direction, plan.ClassID(n), hex[digits:], true
	}
	return 0, 0, "", false
}
