package nft

import (
	"cmp"
	"maps"
	"slices"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/dataplane/attr"
)

// transaction is a list of changes that the kernel makes all or none of.
type transaction struct {
	table    string // empty: TableName
	messages []netlink.Message
	setID    uint32
	elements int // elements added or removed
}

// Attributes of userdata, which x/sys/unix does not have, from the kernel's
// nf_tables.h. Chains and tables keep it since Linux 5.10.
const (
	nftaTableUserdata = 6
	nftaChainUserdata = 12
	nftaObjUserdata   = 8
	nftaSetElemKeyEnd = 10
)

// commentType is the number of a comment in the userdata of a rule, chain, table
// and element; a set has one of its own.
const commentType = uint8(userdata.TypeComment)

func (t *transaction) name() string { return cmp.Or(t.table, TableName) }

func (t *transaction) add(kind uint16, flags netlink.HeaderFlags, body attr.List) {
	data := append([]byte{unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0}, body...)
	t.messages = append(t.messages, netlink.Message{
		Header: netlink.Header{
			Type:  netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind),
			Flags: netlink.Request | flags,
		},
		Data: data,
	})
}

func withComment(a *attr.List, kind uint16, udata uint8, comment string) {
	if comment != "" {
		a.Bytes(kind, userdata.AppendString(nil, userdata.Type(udata), comment))
	}
}

// addTable makes a table, or gives one that is there the flags, if any.
func (t *transaction) addTable(comment string, flags uint32) {
	var a attr.List
	a.Text(unix.NFTA_TABLE_NAME, t.name())
	if flags != 0 {
		a.Uint32(unix.NFTA_TABLE_FLAGS, flags)
	}
	withComment(&a, nftaTableUserdata, commentType, comment)
	t.add(unix.NFT_MSG_NEWTABLE, netlink.Create, a)
}

func (t *transaction) deleteTable() {
	var a attr.List
	a.Text(unix.NFTA_TABLE_NAME, t.name())
	t.add(unix.NFT_MSG_DELTABLE, 0, a)
}

var chainTypeFilter = "filter"

func (t *transaction) addChain(name string, c *chain) {
	var a attr.List
	a.Text(unix.NFTA_CHAIN_TABLE, t.name())
	a.Text(unix.NFTA_CHAIN_NAME, name)
	if c.hook.base {
		start := a.Nest(unix.NFTA_CHAIN_HOOK)
		a.Uint32(unix.NFTA_HOOK_HOOKNUM, c.hook.number)
		a.Uint32(unix.NFTA_HOOK_PRIORITY, uint32(c.hook.priority))
		a.End(start)
		a.Uint32(unix.NFTA_CHAIN_POLICY, c.hook.policy)
		a.Text(unix.NFTA_CHAIN_TYPE, chainTypeFilter)
	}
	withComment(&a, nftaChainUserdata, commentType, c.comment)
	t.add(unix.NFT_MSG_NEWCHAIN, netlink.Create, a)
}

func (t *transaction) deleteChain(name string) {
	var a attr.List
	a.Text(unix.NFTA_CHAIN_TABLE, t.name())
	a.Text(unix.NFTA_CHAIN_NAME, name)
	t.add(unix.NFT_MSG_DELCHAIN, 0, a)
}

func (t *transaction) addRule(chain string, r rule) {
	var a attr.List
	a.Text(unix.NFTA_RULE_TABLE, t.name())
	a.Text(unix.NFTA_RULE_CHAIN, chain)
	a.Bytes(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, r.exprs)
	withComment(&a, unix.NFTA_RULE_USERDATA, commentType, r.comment)
	t.add(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, a)
}

// flushChain removes all rules of a chain.
func (t *transaction) flushChain(name string) {
	var a attr.List
	a.Text(unix.NFTA_RULE_TABLE, t.name())
	a.Text(unix.NFTA_RULE_CHAIN, name)
	t.add(unix.NFT_MSG_DELRULE, 0, a)
}

func (t *transaction) addCounter(name, comment string) {
	var a attr.List
	a.Text(unix.NFTA_OBJ_TABLE, t.name())
	a.Text(unix.NFTA_OBJ_NAME, name)
	a.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	a.End(a.Nest(unix.NFTA_OBJ_DATA))
	withComment(&a, nftaObjUserdata, commentType, comment)
	t.add(unix.NFT_MSG_NEWOBJ, netlink.Create, a)
}

func (t *transaction) deleteCounter(name string) {
	var a attr.List
	a.Text(unix.NFTA_OBJ_TABLE, t.name())
	a.Text(unix.NFTA_OBJ_NAME, name)
	a.Uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	t.add(unix.NFT_MSG_DELOBJ, 0, a)
}

// change adds to the transaction what turns one ruleset into another. The order
// is that of references: names before rules that use them, rules and elements
// before the names that they used go.
func (t *transaction) change(from, to *ruleset) {
	if !from.exists || claims(from, to) {
		t.addTable(to.comment, to.flags)
	}
	t.addNames(from, to)
	for _, name := range sorted(to.chains) {
		old, existed := from.chains[name]
		if existed && equalRules(old.rules, to.chains[name].rules) {
			continue
		}
		if existed && len(old.rules) > 0 {
			t.flushChain(name)
		}
		for _, r := range to.chains[name].rules {
			t.addRule(name, r)
		}
	}
	t.changeElements(from, to)
	t.deleteNames(from, to)
}

func (t *transaction) addNames(from, to *ruleset) {
	for _, name := range sorted(to.counters) {
		if _, ok := from.counters[name]; !ok {
			t.addCounter(name, to.counters[name])
		}
	}
	for _, name := range sorted(to.sets) {
		if _, ok := from.sets[name]; !ok {
			t.addSet(name, to.sets[name])
		}
	}
	for _, name := range sorted(to.chains) {
		if _, ok := from.chains[name]; !ok {
			t.addChain(name, to.chains[name])
		}
	}
}

// changeElements removes before it adds: an element of a map gets another value
// by being taken out and put in.
func (t *transaction) changeElements(from, to *ruleset) {
	for _, name := range sorted(to.sets) {
		now, old := to.sets[name], &set{}
		if s, ok := from.sets[name]; ok {
			old = s
		}
		difference := elementsWithout
		if now.typ.hasEnds() {
			difference = rangesWithout
		}
		t.elementChange(unix.NFT_MSG_DELSETELEM, name, now, difference(old, now))
		t.elementChange(unix.NFT_MSG_NEWSETELEM, name, now, difference(now, old))
	}
}

// elementsWithout are a set's elements that another does not have.
func elementsWithout(a, b *set) []element {
	var found []element
	for id, e := range a.elems {
		if other, ok := b.elems[id]; !ok || other != e {
			found = append(found, e)
		}
	}
	return found
}

// rangesWithout are the elements of ranges that another set does not have from
// start to end. The kernel looks at ranges: it does not take a new end inside a
// range of which an old end goes on being there.
func rangesWithout(a, b *set) []element {
	ends := b.ranges()
	var found []element
	for start, end := range a.ranges() {
		if other, ok := ends[start]; ok && other == end {
			continue
		}
		if found = append(found, start); end.end {
			found = append(found, end)
		}
	}
	return found
}

// ranges are the starts of ranges with their ends; the last range of all has the
// zero element for its end.
func (s *set) ranges() map[element]element {
	elems := slices.SortedFunc(maps.Values(s.elems), compareElements)
	found := map[element]element{}
	for i, e := range elems {
		if e.end {
			continue
		}
		found[e] = element{}
		if i+1 < len(elems) && elems[i+1].end {
			found[e] = elems[i+1]
		}
	}
	return found
}

// deleteNames empties all chains that go before it removes the first, since
// they may jump to each other and ask the sets that go.
func (t *transaction) deleteNames(from, to *ruleset) {
	chains := missing(from.chains, to.chains)
	for _, name := range chains {
		t.flushChain(name)
	}
	for _, name := range chains {
		t.deleteChain(name)
	}
	for _, name := range missing(from.sets, to.sets) {
		t.deleteSet(name)
	}
	for _, name := range missing(from.counters, to.counters) {
		t.deleteCounter(name)
	}
}

// missing is the names in from that are not in to, sorted.
func missing[V any](from, to map[string]V) []string {
	return slices.DeleteFunc(sorted(from), func(name string) bool {
		_, ok := to[name]
		return ok
	})
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
