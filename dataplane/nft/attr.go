package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// attrs writes netlink attributes one behind the other into one buffer: a table
// of 100,000 elements is 400,000 attributes, too many for one allocation each.
type attrs []byte

func (a *attrs) bytes(kind uint16, value []byte) {
	a.header(kind, len(value))
	*a = append(*a, value...)
	a.pad()
}

// text writes a string with the zero that the kernel wants at its end.
func (a *attrs) text(kind uint16, value string) {
	a.header(kind, len(value)+1)
	*a = append(*a, value...)
	*a = append(*a, 0)
	a.pad()
}

// raw writes a string without a zero.
func (a *attrs) raw(kind uint16, value string) {
	a.header(kind, len(value))
	*a = append(*a, value...)
	a.pad()
}

func (a *attrs) uint32(kind uint16, value uint32) {
	a.header(kind, 4)
	*a = binary.BigEndian.AppendUint32(*a, value)
}

func (a *attrs) header(kind uint16, size int) {
	*a = binary.NativeEndian.AppendUint16(*a, uint16(unix.SizeofNlAttr+size))
	*a = binary.NativeEndian.AppendUint16(*a, kind)
}

func (a *attrs) pad() {
	for len(*a)%unix.NLA_ALIGNTO != 0 {
		*a = append(*a, 0)
	}
}

// nest starts an attribute that holds others; end closes it.
func (a *attrs) nest(kind uint16) (start int) {
	start = len(*a)
	a.header(kind|unix.NLA_F_NESTED, 0)
	return start
}

func (a *attrs) end(start int) {
	binary.NativeEndian.PutUint16((*a)[start:], uint16(len(*a)-start))
}

// eachAttr calls f for every attribute, until it returns false. It is for what
// the kernel sent; a length that does not fit ends the walk.
func eachAttr(b []byte, f func(kind uint16, value []byte) bool) {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		if size < unix.SizeofNlAttr || size > len(b) || !f(kind, b[unix.SizeofNlAttr:size]) {
			return
		}
		aligned := (size + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1)
		b = b[min(aligned, len(b)):]
	}
}

// attr is the value of the first attribute of a kind, nil if there is none.
func attr(b []byte, kind uint16) []byte {
	var found []byte
	eachAttr(b, func(k uint16, value []byte) bool {
		if k == kind {
			found = value
		}
		return k != kind
	})
	return found
}

func attrUint32(b []byte, kind uint16) uint32 { return number(attr(b, kind)) }

// number is the value of an attribute of 4 bytes, zero if it has others.
func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

func attrText(b []byte, kind uint16) string {
	value := attr(b, kind)
	if n := len(value); n > 0 && value[n-1] == 0 {
		value = value[:n-1]
	}
	return string(value)
}
