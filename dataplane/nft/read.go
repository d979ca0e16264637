package nft

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

const headerLen = 4 // struct nfgenmsg

// readAttempts is how often a table is read that changes meanwhile.
const readAttempts = 50

// read is what the kernel has of our table. What somebody removed between two
// lists is read anew.
func read(ctx context.Context, conn *netlink.Conn) (*ruleset, error) {
	for attempt := 1; ; attempt++ {
		r, err := readOnce(ctx, conn)
		moving := errors.Is(err, errMoving) || errors.Is(err, unix.ENOENT)
		if !moving || attempt == readAttempts {
			return r, err
		}
	}
}

func readOnce(ctx context.Context, conn *netlink.Conn) (*ruleset, error) {
	r := newRuleset()
	for _, part := range []func(context.Context, *netlink.Conn) error{
		r.readTable, r.readChains, r.readRules, r.readSets, r.readCounters,
	} {
		if err := part(ctx, conn); err != nil {
			return nil, err
		}
		if !r.exists {
			return r, nil
		}
	}
	for name, s := range r.sets {
		if err := s.readElements(ctx, conn, name); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readStill is what the kernel had of our table at one moment. The kernel lists
// a set in pieces, and elements that come or go in between can make it pass over
// others; whoever changes the table himself need not mind.
func readStill(ctx context.Context, conn *netlink.Conn) (*ruleset, error) {
	before, err := readGeneration(ctx, conn)
	if err != nil {
		return nil, err
	}
	for range readAttempts {
		r, err := read(ctx, conn)
		if err != nil {
			return nil, err
		}
		after, err := readGeneration(ctx, conn)
		if err != nil || after == before {
			return r, err
		}
		before = after
	}
	return nil, errMoving
}

// readGeneration is the number of the last transaction of anybody in the
// namespace.
func readGeneration(ctx context.Context, conn *netlink.Conn) (uint32, error) {
	if err := setDeadline(ctx, conn); err != nil {
		return 0, err
	}
	list, err := conn.Execute(netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN),
			Flags: netlink.Request,
		},
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return 0, fmt.Errorf("read generation: %w", err)
	}
	for _, m := range list {
		if len(m.Data) >= headerLen {
			return attr.Uint32(m.Data[headerLen:], unix.NFTA_GEN_ID), nil
		}
	}
	return 0, errors.New("read generation: the kernel gave no answer")
}

func (r *ruleset) readTable(ctx context.Context, conn *netlink.Conn) error {
	list, err := dump(ctx, conn, unix.NFT_MSG_GETTABLE, nil)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for _, m := range list {
		body := m.Data[headerLen:]
		if m.Data[0] == unix.NFPROTO_INET && attr.Text(body, unix.NFTA_TABLE_NAME) == TableName {
			r.exists = true
			r.flags = attr.Uint32(body, unix.NFTA_TABLE_FLAGS)
			r.comment = commentIn(attr.Find(body, nftaTableUserdata), commentType)
		}
	}
	return nil
}

func (r *ruleset) readChains(ctx context.Context, conn *netlink.Conn) error {
	list, err := dump(ctx, conn, unix.NFT_MSG_GETCHAIN, inTable(unix.NFTA_CHAIN_TABLE))
	if err != nil {
		return fmt.Errorf("list chains: %w", err)
	}
	for _, m := range ours(list, unix.NFTA_CHAIN_TABLE) {
		c := &chain{comment: commentIn(attr.Find(m, nftaChainUserdata), commentType)}
		if h := attr.Find(m, unix.NFTA_CHAIN_HOOK); h != nil {
			c.hook = hook{
				base:     true,
				number:   attr.Uint32(h, unix.NFTA_HOOK_HOOKNUM),
				priority: int32(attr.Uint32(h, unix.NFTA_HOOK_PRIORITY)),
				policy:   attr.Uint32(m, unix.NFTA_CHAIN_POLICY),
			}
		}
		r.chains[attr.Text(m, unix.NFTA_CHAIN_NAME)] = c
	}
	return nil
}

// readRules relies on the kernel listing a chain's rules in their order.
func (r *ruleset) readRules(ctx context.Context, conn *netlink.Conn) error {
	list, err := dump(ctx, conn, unix.NFT_MSG_GETRULE, inTable(unix.NFTA_RULE_TABLE))
	if err != nil {
		return fmt.Errorf("list rules: %w", err)
	}
	for _, m := range ours(list, unix.NFTA_RULE_TABLE) {
		c, ok := r.chains[attr.Text(m, unix.NFTA_RULE_CHAIN)]
		if !ok {
			return fmt.Errorf("list rules: %w", errMoving)
		}
		c.rules = append(c.rules, rule{
			exprs:   attr.Find(m, unix.NFTA_RULE_EXPRESSIONS),
			comment: commentIn(attr.Find(m, unix.NFTA_RULE_USERDATA), commentType),
		})
	}
	return nil
}

var errMoving = errors.New("the table changes while it is read")

func (r *ruleset) readSets(ctx context.Context, conn *netlink.Conn) error {
	list, err := dump(ctx, conn, unix.NFT_MSG_GETSET, inTable(unix.NFTA_SET_TABLE))
	if err != nil {
		return fmt.Errorf("list sets: %w", err)
	}
	for _, m := range ours(list, unix.NFTA_SET_TABLE) {
		r.addSet(attr.Text(m, unix.NFTA_SET_NAME), setType{
			key:     attr.Uint32(m, unix.NFTA_SET_KEY_TYPE),
			keyLen:  attr.Uint32(m, unix.NFTA_SET_KEY_LEN),
			flags:   attr.Uint32(m, unix.NFTA_SET_FLAGS),
			data:    attr.Uint32(m, unix.NFTA_SET_DATA_TYPE),
			dataLen: attr.Uint32(m, unix.NFTA_SET_DATA_LEN),
		}, commentIn(attr.Find(m, unix.NFTA_SET_USERDATA), uint8(userdata.NFTNL_UDATA_SET_COMMENT)))
	}
	return nil
}

func (r *ruleset) readCounters(ctx context.Context, conn *netlink.Conn) error {
	list, err := listCounters(ctx, conn)
	if err != nil {
		return err
	}
	for _, m := range list {
		r.counters[attr.Text(m, unix.NFTA_OBJ_NAME)] = commentIn(attr.Find(m, nftaObjUserdata), commentType)
	}
	return nil
}

func listCounters(ctx context.Context, conn *netlink.Conn) ([][]byte, error) {
	body := inTable(unix.NFTA_OBJ_TABLE)
	body.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	list, err := dump(ctx, conn, unix.NFT_MSG_GETOBJ, body)
	if err != nil {
		return nil, fmt.Errorf("list counters: %w", err)
	}
	return ours(list, unix.NFTA_OBJ_TABLE), nil
}

func (s *set) readElements(ctx context.Context, conn *netlink.Conn, name string) error {
	body := inTable(unix.NFTA_SET_ELEM_LIST_TABLE)
	body.Text(unix.NFTA_SET_ELEM_LIST_SET, name)
	list, err := dump(ctx, conn, unix.NFT_MSG_GETSETELEM, body)
	if err != nil {
		return fmt.Errorf("list elements of set %s: %w", name, err)
	}
	for _, m := range list {
		attr.Each(attr.Find(m.Data[headerLen:], unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(_ uint16, b []byte) bool {
			e := parseElement(b)
			s.elems[e.id()] = e
			return true
		})
	}
	return nil
}

func parseElement(b []byte) element {
	var e element
	attr.Each(b, func(kind uint16, value []byte) bool {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			e.key = string(attr.Find(value, unix.NFTA_DATA_VALUE))
		case nftaSetElemKeyEnd:
			e.keyEnd = string(attr.Find(value, unix.NFTA_DATA_VALUE))
		case unix.NFTA_SET_ELEM_FLAGS:
			e.end = attr.Number(value)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		case unix.NFTA_SET_ELEM_DATA:
			e.data = string(attr.Find(value, unix.NFTA_DATA_VALUE))
			e.jump = attr.Text(attr.Find(value, unix.NFTA_DATA_VERDICT), unix.NFTA_VERDICT_CHAIN)
		case unix.NFTA_SET_ELEM_USERDATA:
			e.comment = commentIn(value, commentType)
		}
		return true
	})
	return e
}

func inTable(kind uint16) attr.List {
	var a attr.List
	a.Text(kind, TableName)
	return a
}

// ours are the bodies of the messages about our table. The kernel filters by
// name since it knows the attribute; older ones list all tables.
func ours(list []netlink.Message, kind uint16) [][]byte {
	var bodies [][]byte
	for _, m := range list {
		if body := m.Data[headerLen:]; m.Data[0] == unix.NFPROTO_INET && attr.Text(body, kind) == TableName {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

// commentIn is the comment in userdata, which anybody may have written: the
// library's reader trusts the lengths in it.
func commentIn(data []byte, kind uint8) string {
	for len(data) >= 2 {
		size := int(data[1])
		if size > len(data)-2 {
			return ""
		}
		if value := data[2 : 2+size]; data[0] == kind {
			for len(value) > 0 && value[len(value)-1] == 0 {
				value = value[:len(value)-1]
			}
			return string(value)
		}
		data = data[2+size:]
	}
	return ""
}
