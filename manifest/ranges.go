package manifest

import "net/netip"

// podRange is where the nodes' pod ranges are made up: so many equal blocks.
type podRange struct {
	base   netip.Prefix // the first block
	blocks uint64
}

var podRanges = [2]podRange{
	{netip.MustParsePrefix("10.244.0.0/24"), 12 * 256}, // to the end of 10.0.0.0/8
	{netip.MustParsePrefix("fd00:10:244::/64"), 1 << 16},
}

// block is the range's block of that number.
func (p podRange) block(n uint64) netip.Prefix {
	bytes := p.base.Addr().As16()
	at := 7 // the last byte of the network part of an IPv6 /64
	if p.base.Addr().Is4() {
		at = 14
	}
	for i := at; n > 0; i-- {
		n += uint64(bytes[i])
		bytes[i] = byte(n)
		n >>= 8
	}
	addr := netip.AddrFrom16(bytes)
	if p.base.Addr().Is4() {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, p.base.Bits())
}

// rangeBook knows which ranges of one family are in use. Its zero value knows
// none.
type rangeBook struct {
	ranges []netip.Prefix
	owners []string
	// blocks are the made-up blocks in use, by their base address.
	blocks map[netip.Addr]bool
}

// claim notes a range, and tells its owner if another's overlaps it.
func (b *rangeBook) claim(r netip.Prefix, owner string) (other string) {
	for i, known := range b.ranges {
		if known.Overlaps(r) && b.owners[i] != owner {
			return b.owners[i]
		}
	}
	b.ranges = append(b.ranges, r)
	b.owners = append(b.owners, owner)
	return ""
}

// avoid keeps the block around a stated address out of use, so that no made-up
// range covers it.
func (b *rangeBook) avoid(addr netip.Addr) {
	bits := podRanges[family(addr)].base.Bits()
	block, _ := addr.Prefix(bits) // fails only for bits that do not fit the family
	b.use(block)
}

func (b *rangeBook) use(block netip.Prefix) {
	if b.blocks == nil {
		b.blocks = map[netip.Addr]bool{}
	}
	b.blocks[block.Addr()] = true
}

// take is a free block, beginning the search at a number.
func (b *rangeBook) take(p podRange, start uint64, owner string) (netip.Prefix, bool) {
	for i := range p.blocks {
		block := p.block((start + i) % p.blocks)
		if !b.blocks[block.Addr()] && b.claim(block, owner) == "" {
			b.use(block)
			return block, true
		}
	}
	return netip.Prefix{}, false
}
