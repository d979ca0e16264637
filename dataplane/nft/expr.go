package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// Registers: 1 is the first of 16 bytes. A concatenation lies in registers of 4
// bytes, of which number 8 is the same as register 1, so its second field is in
// 9 if the first is of 4 bytes.
const (
	reg1  = unix.NFT_REG_1
	reg9  = unix.NFT_REG32_01
	reg10 = unix.NFT_REG32_02
)

// Bits of ct state and values of the conntrack direction, from the kernel's
// nf_conntrack_common.h and nf_conntrack_tuple_common.h.
const (
	stateInvalid      = 1 << 0
	stateRelated      = 1 << 2
	stateNew          = 1 << 3
	stateUntracked    = 1 << 6
	directionOriginal = 0
	directionReply    = 1
)

// encodeExprs is a rule's expressions as netlink attributes.
func encodeExprs(exprs []expr.Any) ([]byte, error) {
	var list attr.List
	for _, e := range exprs {
		if ct, ok := e.(interface{ encode() []byte }); ok {
			list.Bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, ct.encode())
			continue
		}
		b, err := expr.Marshal(unix.NFPROTO_INET, e)
		if err != nil {
			return nil, fmt.Errorf("encode expression %T: %w", e, err)
		}
		list.Bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b)
	}
	return list, nil
}

// exprs joins parts of a rule.
func exprs(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

func jump(chain string) []expr.Any   { return verdict(expr.VerdictJump, chain) }
func jumpTo(chain string) []expr.Any { return verdict(expr.VerdictGoto, chain) }
func accept() []expr.Any             { return verdict(expr.VerdictAccept, "") }
func drop() []expr.Any               { return verdict(expr.VerdictDrop, "") }
func giveBack() []expr.Any           { return verdict(expr.VerdictReturn, "") }

func equals(register uint32, data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

// isFamily is also what tells nft that a payload match behind it is on an IPv4
// or IPv6 header; without it nft lists bytes and offsets.
func isFamily(f family) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1}, equals(reg1, f.protocol)}
}

func isProtocol(protocol byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, equals(reg1, protocol)}
}

func isNotProtocol(protocol byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{protocol}},
	}
}

func isReply() []expr.Any    { return inDirection(directionReply) }
func isOriginal() []expr.Any { return inDirection(directionOriginal) }

func inDirection(direction byte) []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg1}, equals(reg1, direction)}
}

// original is a ct expression about a connection's first packet. Google's library
// writes the direction as four bytes, of which the kernel reads the first.
type original struct{ expr.Ct }

func (o *original) encode() []byte {
	var e attr.List
	e.Text(unix.NFTA_EXPR_NAME, "ct")
	data := e.Nest(unix.NFTA_EXPR_DATA)
	e.Uint32(unix.NFTA_CT_DREG, o.Register)
	e.Uint32(unix.NFTA_CT_KEY, uint32(o.Key))
	e.Bytes(unix.NFTA_CT_DIRECTION, []byte{directionOriginal})
	e.End(data)
	return e
}

// Keys of ct expressions that Google's library has no names for, from the
// kernel's nf_tables.h (NFT_CT_DST_IP and NFT_CT_DST_IP6, Linux 4.17).
var ctDest = map[byte]expr.CtKey{unix.NFPROTO_IPV4: 20, unix.NFPROTO_IPV6: 22}

// originalDest loads the address that a connection's first packet went to.
func originalDest(f family) expr.Any {
	return &original{expr.Ct{Key: ctDest[f.protocol], Register: reg1}}
}

// originalPort loads the port that a connection's first packet went to; of ICMP,
// conntrack has its type and code there.
func originalPort(register uint32) expr.Any {
	return &original{expr.Ct{Key: expr.CtKeyPROTODST, Register: register}}
}

// hasState: one of the bits is set.
func hasState(bits uint32) []expr.Any    { return stateIs(expr.CmpOpNeq, bits) }
func hasNotState(bits uint32) []expr.Any { return stateIs(expr.CmpOpEq, bits) }

func stateIs(op expr.CmpOp, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: hostOrder(bits), Xor: hostOrder(0)},
		&expr.Cmp{Op: op, Register: reg1, Data: hostOrder(0)},
	}
}

func hasLabel(bit int) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyLABELS, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 16, Mask: label(bit), Xor: make([]byte, 16)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: make([]byte, 16)},
	}
}

func setLabel(bit int) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg1, Data: label(bit)},
		&expr.Ct{Key: expr.CtKeyLABELS, Register: reg1, SourceRegister: true},
	}
}

// label is the 16 bytes of a label with one bit set. The kernel keeps labels as
// an array of unsigned long.
func label(bit int) []byte {
	b := make([]byte, 16)
	word := b[bit/64*8:]
	binary.NativeEndian.PutUint64(word, 1<<(bit%64))
	return b
}

// toLocal: the packet's destination is an address of the node.
func toLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true},
		equals(reg1, hostOrder(unix.RTN_LOCAL)...),
	}
}

func loadAddr(f family, offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.addr.Bytes, DestRegister: register}
}

// Offsets of the ports, in every protocol that has ports.
const (
	offsetSource = 0
	offsetDest   = 2
)

func loadPort(offset, register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2, DestRegister: register}
}

func portBetween(offset uint32, from, to uint16) []expr.Any {
	return []expr.Any{
		loadPort(offset, reg1),
		&expr.Cmp{Op: expr.CmpOpGte, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, from)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, to)},
	}
}

// Flags in the TCP header.
const (
	flagSYN = 1 << 1
	flagRST = 1 << 2
)

func loadFlags(mask byte) []expr.Any {
	const offset = 13
	return []expr.Any{
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 1, DestRegister: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
	}
}

func hasFlag(flag byte) []expr.Any {
	return append(loadFlags(flag), &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{0}})
}

func loadPriority() expr.Any { return &expr.Meta{Key: expr.MetaKeyPRIORITY, Register: reg1} }

func setPriority() expr.Any {
	return &expr.Meta{Key: expr.MetaKeyPRIORITY, Register: reg1, SourceRegister: true}
}

func inSet(name string) expr.Any { return &expr.Lookup{SourceRegister: reg1, SetName: name} }

func mapped(name string) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: name}
}

func byMap(name string) expr.Any {
	return &expr.Lookup{SourceRegister: reg1, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: name}
}

// byteorder turns a register of 4 bytes into network order. nft keeps every
// field of a concatenation with ranges that way.
func byteorder(register uint32) expr.Any {
	return &expr.Byteorder{SourceRegister: register, DestRegister: register, Op: expr.ByteorderHton, Len: 4, Size: 4}
}

// note sends the head of a packet to whoever listens to LogGroup, with the name
// of the class that denied it.
func note(class string) []expr.Any {
	const keys = 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN
	return []expr.Any{&expr.Log{Key: keys, Group: LogGroup, Snaplen: logLen, Data: []byte(class)}}
}

func count(counter string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}}
}
