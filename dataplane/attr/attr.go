// Package attr writes and reads netlink attributes as they lie in a message,
// without an allocation for each: a table of 100,000 elements is 400,000 of
// them. Numbers are in network byte order unless a name says otherwise, since
// netfilter's are.
//
// What is read may come from anybody; a length that does not fit ends the walk.
package attr

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// List is attributes one behind the other.
type List []byte

// Bytes writes a value as it is.
func (l *List) Bytes(kind uint16, value []byte) {
	l.header(kind, len(value))
	*l = append(*l, value...)
	l.pad()
}

// Text writes a string with the zero that the kernel wants at its end.
func (l *List) Text(kind uint16, value string) {
	l.header(kind, len(value)+1)
	*l = append(*l, value...)
	*l = append(*l, 0)
	l.pad()
}

// Raw writes a string without a zero.
func (l *List) Raw(kind uint16, value string) {
	l.header(kind, len(value))
	*l = append(*l, value...)
	l.pad()
}

// Uint32 writes a number.
func (l *List) Uint32(kind uint16, value uint32) {
	l.header(kind, 4)
	*l = binary.BigEndian.AppendUint32(*l, value)
}

func (l *List) header(kind uint16, size int) {
	*l = binary.NativeEndian.AppendUint16(*l, uint16(unix.SizeofNlAttr+size))
	*l = binary.NativeEndian.AppendUint16(*l, kind)
}

func (l *List) pad() {
	for len(*l)%unix.NLA_ALIGNTO != 0 {
		*l = append(*l, 0)
	}
}

// Nest starts an attribute that holds others; End closes it.
func (l *List) Nest(kind uint16) (start int) {
	start = len(*l)
	l.header(kind|unix.NLA_F_NESTED, 0)
	return start
}

// End closes what Nest started.
func (l *List) End(start int) {
	binary.NativeEndian.PutUint16((*l)[start:], uint16(len(*l)-start))
}

// Each calls f for every attribute, until it returns false.
func Each(b []byte, f func(kind uint16, value []byte) bool) {
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

// Find is the value of the first attribute of a kind, nil if there is none.
func Find(b []byte, kind uint16) []byte {
	var found []byte
	Each(b, func(k uint16, value []byte) bool {
		if k == kind {
			found = value
		}
		return k != kind
	})
	return found
}

// Uint32 is the number in the first attribute of a kind, zero if there is none.
func Uint32(b []byte, kind uint16) uint32 { return Number(Find(b, kind)) }

// Number is the value of an attribute of 4 bytes, zero if it has others.
func Number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// Text is the string in the first attribute of a kind, empty if there is none.
func Text(b []byte, kind uint16) string {
	value := Find(b, kind)
	if n := len(value); n > 0 && value[n-1] == 0 {
		value = value[:n-1]
	}
	return string(value)
}
