package nft

import (
	"cmp"
	"slices"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// nft's marks of the byte order in which it shows a set's keys and values.
const (
	orderHost = 1
	orderBig  = 2
)

func (t *transaction) addSet(name string, s *set) {
	t.setID++
	var a attr.List
	a.Text(unix.NFTA_SET_TABLE, t.name())
	a.Text(unix.NFTA_SET_NAME, name)
	a.Uint32(unix.NFTA_SET_FLAGS, s.typ.flags)
	a.Uint32(unix.NFTA_SET_KEY_TYPE, s.typ.key)
	a.Uint32(unix.NFTA_SET_KEY_LEN, s.typ.keyLen)
	a.Uint32(unix.NFTA_SET_ID, t.setID)
	if s.typ.flags&unix.NFT_SET_MAP != 0 {
		a.Uint32(unix.NFTA_SET_DATA_TYPE, s.typ.data)
		a.Uint32(unix.NFTA_SET_DATA_LEN, s.typ.dataLen)
	}
	if s.typ.fields != "" {
		describeFields(&a, s.typ.fields)
	}
	a.Bytes(unix.NFTA_SET_USERDATA, setUserdata(s))
	t.add(unix.NFT_MSG_NEWSET, netlink.Create, a)
}

// describeFields tells the length of each field, without which nft crashes when
// it lists a concatenation, and the kernel cannot keep ranges of it.
func describeFields(a *attr.List, fields string) {
	desc := a.Nest(unix.NFTA_SET_DESC)
	concat := a.Nest(nftaSetDescConcat)
	for _, size := range fields {
		field := a.Nest(unix.NFTA_LIST_ELEM)
		a.Uint32(nftaSetFieldLen, uint32(size))
		a.End(field)
	}
	a.End(concat)
	a.End(desc)
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
	var a attr.List
	a.Text(unix.NFTA_SET_TABLE, t.name())
	a.Text(unix.NFTA_SET_NAME, name)
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
		var a attr.List
		a.Text(unix.NFTA_SET_ELEM_LIST_TABLE, t.name())
		a.Text(unix.NFTA_SET_ELEM_LIST_SET, name)
		list := a.Nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		for len(elems) > 0 && len(a) < elementBytes {
			appendElement(&a, s.typ, elems[0])
			elems = elems[1:]
		}
		a.End(list)
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

func appendElement(a *attr.List, typ setType, e element) {
	start := a.Nest(unix.NFTA_LIST_ELEM)
	appendData(a, unix.NFTA_SET_ELEM_KEY, e.key)
	if e.keyEnd != "" {
		appendData(a, nftaSetElemKeyEnd, e.keyEnd)
	}
	if e.end {
		a.Uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	} else if typ.flags&unix.NFT_SET_MAP != 0 {
		appendValue(a, e)
	}
	withComment(a, unix.NFTA_SET_ELEM_USERDATA, commentType, e.comment)
	a.End(start)
}

func appendData(a *attr.List, kind uint16, value string) {
	start := a.Nest(kind)
	a.Raw(unix.NFTA_DATA_VALUE, value)
	a.End(start)
}

func appendValue(a *attr.List, e element) {
	if e.jump == "" {
		appendData(a, unix.NFTA_SET_ELEM_DATA, e.data)
		return
	}
	data := a.Nest(unix.NFTA_SET_ELEM_DATA)
	v := a.Nest(unix.NFTA_DATA_VERDICT)
	code := int32(unix.NFT_JUMP)
	a.Uint32(unix.NFTA_VERDICT_CODE, uint32(code))
	a.Text(unix.NFTA_VERDICT_CHAIN, e.jump)
	a.End(v)
	a.End(data)
}
