package nft

import (
	"bytes"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// ruleset is our table, as it should be or as the kernel has it. Both come in
// this form so that one difference serves for start, update and check.
type ruleset struct {
	exists   bool // the kernel has the table; true of what should be
	flags    uint32
	comment  string
	chains   map[string]*chain
	sets     map[string]*set
	counters map[string]string // name: comment
}

func newRuleset() *ruleset {
	return &ruleset{chains: map[string]*chain{}, sets: map[string]*set{}, counters: map[string]string{}}
}

type chain struct {
	hook    hook
	comment string
	rules   []rule
}

// hook is where a base chain is called; its zero value is a chain that is only
// jumped to.
type hook struct {
	number   uint32
	priority int32
	base     bool
	policy   uint32
}

// rule is a rule's expressions as netlink attributes. The kernel writes them
// differently from how it reads them; equalRules knows.
type rule struct {
	exprs   []byte
	comment string
}

func equalRules(a, b []rule) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].comment != b[i].comment {
			return false
		}
		if !bytes.Equal(a[i].exprs, b[i].exprs) && !bytes.Equal(canonical(a[i].exprs), canonical(b[i].exprs)) {
			return false
		}
	}
	return true
}

// setType is a set's definition. Sets of different types cannot become each
// other; they are made anew.
type setType struct {
	key     uint32 // nft's number of the type, for listing
	keyLen  uint32 // bytes
	fields  string // bytes of each field of a concatenation; empty: one field
	flags   uint32
	data    uint32 // of a map, nft's number of the value's type
	dataLen uint32 // bytes; zero for verdicts
	// hostOrder: nft shows the first field in host byte order.
	hostOrder bool
}

func setOf(types ...nftables.SetDatatype) setType {
	key := nftables.MustConcatSetType(types...)
	t := setType{key: key.GetNFTMagic(), keyLen: key.Bytes, hostOrder: types[0] == nftables.TypeClassID}
	if len(types) == 1 {
		t.keyLen = types[0].Bytes // a concatenation pads its fields to 4 bytes
		return t
	}
	for _, field := range types {
		t.fields += string(rune(field.Bytes))
	}
	t.flags |= nftables.NFT_SET_CONCAT
	return t
}

func (t setType) interval() setType {
	t.flags |= unix.NFT_SET_INTERVAL
	return t
}

// hasEnds: ranges are two elements each, and not one with two keys.
func (t setType) hasEnds() bool {
	return t.flags&unix.NFT_SET_INTERVAL != 0 && t.flags&nftables.NFT_SET_CONCAT == 0
}

func (t setType) mapTo(data nftables.SetDatatype) setType {
	t.flags |= unix.NFT_SET_MAP
	t.data, t.dataLen = data.GetNFTMagic(), data.Bytes
	if data == nftables.TypeVerdict {
		t.data = unix.NFT_DATA_VERDICT
	}
	return t
}

// same compares what the kernel keeps of a definition.
func (t setType) same(o setType) bool {
	t.fields, o.fields = "", ""
	t.hostOrder, o.hostOrder = false, false
	if t.data == unix.NFT_DATA_VERDICT {
		t.dataLen, o.dataLen = 0, 0
	}
	return t == o
}

type set struct {
	typ     setType
	comment string
	elems   map[string]element // by element.id
}

// element is one element of a set or map, keys and values as the kernel has
// them in its registers.
type element struct {
	key     string
	keyEnd  string // last key of a range in a concatenation
	end     bool   // the first key behind a range of a set without concatenation
	data    string
	jump    string // the chain that a verdict map jumps to
	comment string
}

// id tells elements of one set apart.
func (e element) id() string {
	if e.end {
		return e.key + "]"
	}
	return e.key + e.keyEnd
}

func (r *ruleset) addElement(name string, e element) {
	r.sets[name].elems[e.id()] = e
}

func (r *ruleset) addSet(name string, typ setType, comment string) {
	r.sets[name] = &set{typ: typ, comment: comment, elems: map[string]element{}}
}
