package nft

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// An ICMP error passes because of the connection that it quotes, whoever sends
// it: any router on the way may. A pod is no router. Where a policy selects it, it
// may send errors about its own connections; else it could reach whom it may not
// by quoting another's. The error has the label of the connection that it quotes,
// so it is asked before.

// ctSource are the keys of addresses that Google's library has no names for, from
// the kernel's nf_tables.h (NFT_CT_SRC_IP and NFT_CT_SRC_IP6, Linux 4.17).
var ctSource = map[byte]expr.CtKey{unix.NFPROTO_IPV4: unix.NFT_CT_SRC_IP, unix.NFPROTO_IPV6: unix.NFT_CT_SRC_IP6}

// sourceOf is a ct expression about who sends a connection's packets in one
// direction: who opened it, or who really answers. Google's library writes the
// direction wrong, see original.
type sourceOf struct {
	expr.Ct
	direction byte
}

func (s *sourceOf) encode() []byte {
	var e attr.List
	e.Text(unix.NFTA_EXPR_NAME, "ct")
	data := e.Nest(unix.NFTA_EXPR_DATA)
	e.Uint32(unix.NFTA_CT_DREG, s.Register)
	e.Uint32(unix.NFTA_CT_KEY, uint32(s.Key))
	e.Bytes(unix.NFTA_CT_DIRECTION, []byte{s.direction})
	e.End(data)
	return e
}

func senderIn(direction byte, f family) expr.Any {
	return &sourceOf{expr.Ct{Key: ctSource[f.protocol], Register: f.second}, direction}
}

// fromSelected are matches of packets that a pod sends which some policy selects:
// the set of pods that talk to themselves has each of them, twice.
func fromSelected(f family) []expr.Any {
	return append(isFamily(f), loadAddr(f, f.source, reg1), loadAddr(f, f.source, f.second), inSet(setSelf+f.suffix))
}

// addErrors adds the chains that judge errors of pods by whose connection they
// are about.
func (r *ruleset) addErrors() error {
	for _, f := range families {
		var rules []text
		for _, direction := range []byte{directionOriginal, directionReply} {
			own := append(isFamily(f), loadAddr(f, f.source, reg1), senderIn(direction, f), inSet(setSelf+f.suffix))
			rules = append(rules, text{"its own connection", exprs(own, giveBack())})
		}
		rules = append(rules, text{"", jumpTo(chainSpoofed)})
		if err := r.addChain(chainErrors+f.suffix, "a pod's errors", hook{}, rules...); err != nil {
			return err
		}
	}
	return nil
}

// errorRules lead to them.
func errorRules() []text {
	var rules []text
	for _, f := range families {
		rules = append(rules, text{"", exprs(hasState(stateRelated), fromSelected(f), jump(chainErrors+f.suffix))})
	}
	return rules
}
