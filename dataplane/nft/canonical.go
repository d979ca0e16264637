package nft

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// nestedAttrs are the attributes of our expressions that hold attributes; the
// kernel does not mark all of them as nested. Google's decoder knows neither
// byteorder nor which way a meta or ct expression goes.
var nestedAttrs = map[string][]uint16{
	"immediate": {unix.NFTA_IMMEDIATE_DATA},
	"cmp":       {unix.NFTA_CMP_DATA},
	"bitwise":   {unix.NFTA_BITWISE_MASK, unix.NFTA_BITWISE_XOR},
}

// canonical is a form of a rule's expressions that is the same for what was
// sent and for what the kernel gives back: attributes sorted, and those left out
// whose value is zero, since the kernel adds defaults. Values lose the zeros at
// their end; a value's length is given by the expression, so none that differ
// become equal.
func canonical(exprs []byte) []byte {
	var out []byte
	attr.Each(exprs, func(_ uint16, e []byte) bool {
		name := attr.Text(e, unix.NFTA_EXPR_NAME)
		out = append(out, name...)
		out = append(out, '(')
		out = append(out, canonicalAttrs(attr.Find(e, unix.NFTA_EXPR_DATA), nestedAttrs[name])...)
		out = append(out, ')')
		return true
	})
	return out
}

func canonicalAttrs(b []byte, nested []uint16) []byte {
	var parts [][]byte
	attr.Each(b, func(kind uint16, value []byte) bool {
		if slices.Contains(nested, kind) {
			value = canonicalData(value)
		}
		if value = bytes.TrimRight(value, "\x00"); len(value) > 0 {
			parts = append(parts, canonicalAttr(kind, value))
		}
		return true
	})
	slices.SortFunc(parts, bytes.Compare)
	return bytes.Join(parts, nil)
}

// canonicalData is for a value that is either bytes or a verdict.
func canonicalData(b []byte) []byte {
	if v := attr.Find(b, unix.NFTA_DATA_VERDICT); v != nil {
		return canonicalAttr(unix.NFTA_DATA_VERDICT, canonicalAttrs(v, nil))
	}
	return canonicalAttrs(b, nil)
}

func canonicalAttr(kind uint16, value []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return append(b, value...)
}
