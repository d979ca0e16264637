package service

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// masqueradeMark is the packet mark that asks for masquerading, kube-proxy's.
const masqueradeMark = 0x4000

func (p *Proxy) rule(chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, part := range parts {
		all = append(all, part...)
	}
	p.conn.AddRule(&nftables.Rule{Table: p.table, Chain: chain, Exprs: all})
}

// firstRegister is NFT_REG32_00.
const firstRegister = 8

// only is "meta nfproto FAMILY".
func (f *family) only() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.number}},
	}
}

// loadTarget loads the destination address at a position of the key.
func (f *family) loadTarget(position uint32) []expr.Any { return f.load(f.target, position) }

// loadSource loads the source address.
func (f *family) loadSource(position uint32) []expr.Any { return f.load(f.source, position) }

func (f *family) load(offset, position uint32) []expr.Any {
	return []expr.Any{&expr.Payload{
		Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4 * f.words, DestRegister: firstRegister + position,
	}}
}

// protocolAndPort loads "meta l4proto . th dport".
func protocolAndPort(position uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: firstRegister + position},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: firstRegister + position + 1},
	}
}

// goThrough is "vmap @SET".
func goThrough(set *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: firstRegister, SetName: set.Name, SetID: set.ID, IsDestRegSet: true}}
}

// in is "@SET".
func in(set *nftables.Set) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: firstRegister, SetName: set.Name, SetID: set.ID}}
}

// toThisNode is "fib daddr type local".
func toThisNode() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

func jump(chain *nftables.Chain) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name}}
}

// only is "meta l4proto PROTOCOL".
func only(protocol traffic.Protocol) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(protocol)}},
	}
}

// reset is "reject with tcp reset". A process of the node itself would not
// notice the ICMP error: its socket is busy sending when that arrives.
func reset() []expr.Any { return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }

// reject is "reject with icmpx port-unreachable".
func reject() []expr.Any {
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}
}

// mark is "meta mark set meta mark | 0x4000".
func mark() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(^uint32(masqueradeMark)), Xor: binaryutil.NativeEndian.PutUint32(masqueradeMark),
		},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// marked is "meta mark & 0x4000 != 0".
func marked() []expr.Any {
	zero := binaryutil.NativeEndian.PutUint32(0)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(masqueradeMark), Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: zero},
	}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// oneOf is "numgen random mod N 0", true once in n times.
func oneOf(n int) []expr.Any {
	if n == 1 {
		return nil
	}
	return []expr.Any{
		&expr.Numgen{Register: 1, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}

func dnat(to netip.AddrPort) []expr.Any {
	family := uint32(unix.NFPROTO_IPV4)
	if to.Addr().Is6() {
		family = unix.NFPROTO_IPV6
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(to.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: 1, RegProtoMin: 2, Specified: true},
	}
}
