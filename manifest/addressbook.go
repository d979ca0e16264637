package manifest

import "net/netip"

// addressBook knows who has which address.
type addressBook struct {
	owners map[netip.Addr]string
	ranges [2]rangeBook // of nodes, by family
}

// claim gives an address to an owner. It fails, with the owner's name, if
// another has it.
func (a *addressBook) claim(addr netip.Addr, owner string) (other string, ok bool) {
	if other, taken := a.owners[addr]; taken && other != owner {
		return other, false
	}
	a.owners[addr] = owner
	return "", true
}

// take gives the owner a free address of the range. The search begins at a host
// number that the caller derives from the owner's name, and leaves out those
// below low. It is false if the range is full.
func (a *addressBook) take(r netip.Prefix, low, start uint64, owner string) (netip.Addr, bool) {
	n := hosts(r, &low)
	start = (start%n + n - low%n) % n
	for i := range n {
		addr := nth(r, low+(start+i)%n)
		if _, taken := a.owners[addr]; !taken {
			a.owners[addr] = owner
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// maxSearched bounds how much of a range is used. Pods of one node are far
// fewer.
const maxSearched = 1 << 16

// hosts is how many addresses of a range can be given out from the lowest on:
// all but the last, which is for broadcasts. A range too small to leave any out
// is used whole.
func hosts(r netip.Prefix, low *uint64) uint64 {
	bits := r.Addr().BitLen() - r.Bits()
	if bits < 2 {
		*low = 0
		return 1 << bits
	}
	return min(maxSearched, uint64(1)<<min(bits, 32)) - 1 - *low
}

// nth is the address so many places behind the range's first.
func nth(r netip.Prefix, n uint64) netip.Addr {
	bytes := r.Addr().As16()
	for i := 15; n > 0 && i >= 0; i-- {
		n += uint64(bytes[i])
		bytes[i] = byte(n)
		n >>= 8
	}
	addr := netip.AddrFrom16(bytes)
	if r.Addr().Is4() {
		return addr.Unmap()
	}
	return addr
}
