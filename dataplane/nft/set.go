package nft

import (
	"cmp"
	"slices"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nft's marks of the byte order in which it shows a set's keys and values.
const (
	orderHost = 1
	orderBig  = 2
)

func (t *transaction) addSet(name string, s *set) {
	t.setID++
	var a attrs
	a.text(unix.NFTA_SET_TABLE, TableName)
	a.text(unix.NFTA_SET_NAME, name)
	a.uint32(unix.NFTA_SET_FLAGS, s.typ.flags)
	a.uint32(unix.NFTA_SET_KEY_TYPE, s.typ.key)
	a.uint32(unix.NFTA_SET_KEY_LEN, s.typ.keyLen)
	a.uint32(unix.NFTA_SET_ID, t.setID)
	if s.typ.flags&unix.NFT_SET_MAP != 0 {
		a.uint32(unix.NFTA_SET_DATA_TYPE, s.typ.data)
		a.uint32(unix.NFTA_SET_DATA_LEN, s.typ.dataLen)
	}
	if s.typ.fields != "" {
		describeFields(&a, s.typ.fields)
	}
	a.bytes(unix.NFTA_SET_USERDATA, setUserdata(s))
	t.add(unix.NFT_MSG_NEWSET, netlink.Create, a)
}

// describeFields tells the length of each field, without which nft crashes when
// it lists a concatenation, and the kernel cannot keep ranges of it.
func describeFields(a *attrs, fields string) {
	desc := a.nest(unix.NFTA_SET_DESC)
	concat := a.nest(nftaSetDescConcat)
	for _, size := range fields {
		field := a.nest(unix.NFTA_LIST_ELEM)
		a.uint32(nftaSetFieldLen, uint32(size))
		a.end(field)
	}
	a.end(concat)
	a.end(desc)
}

const (
	nftaSetDescConcat = 2
	nftaSetFieldLen   = 1
)

func setUserdata(s *set) []byte {
	order := uint32(orderBig)
	if s.typ.hostOrder && s.typ.fields == "" {
		order = orderHost
	}
	data := userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, order)
	if s.typ.flags&unix.NFT_SET_MAP != 0 && s.typ.data != unix.NFT_DATA_VERDICT {
		data = userdata.AppendUint32(data, userdata.NFTNL_UDATA_SET_DATABYTEORDER, orderHost)
	}
	if s.comment != "" {
		data = userdata.AppendString(data, userdata.NFTNL_UDATA_SET_COMMENT, s.comment)
	}
	return data
}

func (t *transaction) deleteSet(name string) {
	var a attrs
	a.text(unix.NFTA_SET_TABLE, TableName)
	a.text(unix.NFTA_SET_NAME, name)
	t.add(unix.NFT_MSG_DELSET, 0, a)
}

// elementBytes is how much of a list of elements goes into one message. The
// list is one attribute, and an attribute's length is 16 bits.
const elementBytes = 32 << 10

// elementChange adds or removes elements.
func (t *transaction) elementChange(kind uint16, name string, s *set, elems []element) {
	t.elements += len(elems)
	slices.SortFunc(elems, compareElements)
	for len(elems) > 0 {
		var a attrs
		a.text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName)
		a.text(unix.NFTA_SET_ELEM_LIST_SET, name)
		list := a.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for len(elems) > 0 && len(a) < elementBytes {
			appendElement(&a, s.typ, elems[0])
			elems = elems[1:]
		}
		a.end(list)
		flags := netlink.HeaderFlags(0)
		if kind == unix.NFT_MSG_NEWSETELEM {
			flags = netlink.Create
		}
		t.add(kind, flags, a)
	}
}

// compareElements puts the end of a range before the start of the next.
func compareElements(a, b element) int {
	order := cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.keyEnd, b.keyEnd))
	if order == 0 && a.end != b.end {
		if a.end {
			return -1
		}
		return 1
	}
	return order
}

func appendElement(a *attrs, typ setType, e element) {
	start := a.nest(unix.NFTA_LIST_ELEM)
	appendData(a, unix.NFTA_SET_ELEM_KEY, e.key)
	if e.keyEnd != "" {
		appendData(a, nftaSetElemKeyEnd, e.keyEnd)
	}
	if e.end {
		a.uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	} else if typ.flags&unix.NFT_SET_MAP != 0 {
		appendValue(a, e)
	}
	withComment(a, unix.NFTA_SET_ELEM_USERDATA, commentType, e.comment)
	a.end(start)
}

func appendData(a *attrs, kind uint16, value string) {
	start := a.nest(kind)
	a.raw(unix.NFTA_DATA_VALUE, value)
	a.end(start)
}

func appendValue(a *attrs, e element) {
	if e.jump == "" {
		appendData(a, unix.NFTA_SET_ELEM_DATA, e.data)
		return
	}
	data := a.nest(unix.NFTA_SET_ELEM_DATA)
	v := a.nest(unix.NFTA_DATA_VERDICT)
	code := int32(unix.NFT_JUMP)
	a.uint32(unix.NFTA_VERDICT_CODE, uint32(code))
	a.text(unix.NFTA_VERDICT_CHAIN, e.jump)
	a.end(v)
	a.end(data)
}
