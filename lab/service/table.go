package service

import (
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Priorities. Services are refused after they would have been translated and
// before policy is asked.
var (
	refusePriority    = nftables.ChainPriorityRef(-95)
	translatePriority = nftables.ChainPriorityNATDest
)

// family is what the table has once for each address family. Registers are
// numbered in units of four bytes (NFT_REG32_00 is 8), so that several values
// make one key.
type family struct {
	number         byte // NFPROTO_IPV4 or NFPROTO_IPV6
	suffix         string
	addrType       nftables.SetDatatype
	words          uint32 // an address's length in units of four bytes
	source, target uint32 // offsets in the header

	clusterIPs *nftables.Set // address . protocol . port -> chain
	nodePorts  *nftables.Set // protocol . port -> chain
	services   addrSet
	hairpins   addrSet
}

func newFamily4() family {
	return family{number: unix.NFPROTO_IPV4, suffix: "4", addrType: nftables.TypeIPAddr, words: 1, source: 12, target: 16}
}

func newFamily6() family {
	return family{number: unix.NFPROTO_IPV6, suffix: "6", addrType: nftables.TypeIP6Addr, words: 4, source: 8, target: 24}
}

// addrs are the family's own of a set of addresses.
func (f *family) addrs(all map[netip.Addr]bool) map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	for a := range all {
		if a.Is4() == (f.number == unix.NFPROTO_IPV4) {
			own[a] = true
		}
	}
	return own
}

func (f *family) addSets(conn *nftables.Conn, table *nftables.Table) error {
	concat := func(types ...nftables.SetDatatype) nftables.SetDatatype {
		return nftables.MustConcatSetType(types...)
	}
	f.clusterIPs = &nftables.Set{
		Name: "cluster-ips" + f.suffix, IsMap: true, Concatenation: true, DataType: nftables.TypeVerdict,
		KeyType: concat(f.addrType, nftables.TypeInetProto, nftables.TypeInetService),
	}
	f.nodePorts = &nftables.Set{
		Name: "node-ports" + f.suffix, IsMap: true, Concatenation: true, DataType: nftables.TypeVerdict,
		KeyType: concat(nftables.TypeInetProto, nftables.TypeInetService),
	}
	f.services = addrSet{key: netip.Addr.AsSlice, set: &nftables.Set{Name: "services" + f.suffix, KeyType: f.addrType}}
	f.hairpins = addrSet{
		key: func(a netip.Addr) []byte { return append(a.AsSlice(), a.AsSlice()...) },
		set: &nftables.Set{Name: "hairpins" + f.suffix, Concatenation: true, KeyType: concat(f.addrType, f.addrType)},
	}
	for _, set := range []*nftables.Set{f.clusterIPs, f.nodePorts, f.services.set, f.hairpins.set} {
		set.Table = table
		if err := conn.AddSet(set, nil); err != nil {
			return fmt.Errorf("add set %s: %w", set.Name, err)
		}
	}
	return nil
}

// addChains adds the chains that every packet passes.
func (p *Proxy) addChains() {
	translate := p.conn.AddChain(&nftables.Chain{Name: "translate", Table: p.table})
	refuse := p.conn.AddChain(&nftables.Chain{Name: "refuse", Table: p.table})
	for i := range p.families {
		f := &p.families[i]
		p.rule(translate, f.only(), f.loadTarget(0), protocolAndPort(f.words), goThrough(f.clusterIPs))
		p.rule(translate, f.only(), toThisNode(), protocolAndPort(0), goThrough(f.nodePorts))
		p.rule(refuse, f.only(), f.loadTarget(0), in(f.services.set), only(traffic.TCP), reset())
		p.rule(refuse, f.only(), f.loadTarget(0), in(f.services.set), reject())
	}
	hooks := []struct {
		name string
		hook *nftables.ChainHook
	}{{"prerouting", nftables.ChainHookPrerouting}, {"output", nftables.ChainHookOutput}}
	for _, h := range hooks {
		p.rule(p.conn.AddChain(&nftables.Chain{
			Name: h.name + "-nat", Table: p.table, Type: nftables.ChainTypeNAT, Hooknum: h.hook, Priority: translatePriority,
		}), jump(translate))
		p.rule(p.conn.AddChain(&nftables.Chain{
			Name: h.name + "-refuse", Table: p.table, Type: nftables.ChainTypeFilter, Hooknum: h.hook, Priority: refusePriority,
		}), jump(refuse))
	}
	post := p.conn.AddChain(&nftables.Chain{
		Name: "postrouting", Table: p.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	p.rule(post, marked(), masquerade())
	for i := range p.families {
		f := &p.families[i]
		p.rule(post, f.only(), f.loadSource(0), f.loadTarget(f.words), in(f.hairpins.set), masquerade())
	}
}

// add adds an entry's chain: one rule for each backend, each of which takes its
// share of what the ones before it left.
func (p *Proxy) add(name string, e Entry) error {
	if len(e.Backends) == 0 {
		return nil
	}
	chain := p.conn.AddChain(&nftables.Chain{Name: name, Table: p.table})
	if e.Addr.IsUnspecified() {
		p.rule(chain, mark())
	}
	for i, backend := range e.Backends {
		p.rule(chain, oneOf(len(e.Backends)-i), dnat(backend))
	}
	set, element := p.element(name, e)
	return p.conn.SetAddElements(set, []nftables.SetElement{element})
}

func (p *Proxy) remove(name string, e Entry) error {
	if len(e.Backends) == 0 {
		return nil
	}
	set, element := p.element(name, e)
	if err := p.conn.SetDeleteElements(set, []nftables.SetElement{element}); err != nil {
		return err
	}
	chain := &nftables.Chain{Name: name, Table: p.table}
	p.conn.FlushChain(chain)
	p.conn.DelChain(chain)
	return nil
}

// element is the way to an entry's chain.
func (p *Proxy) element(name string, e Entry) (*nftables.Set, nftables.SetElement) {
	f := &p.families[0]
	if e.Addr.Is6() {
		f = &p.families[1]
	}
	verdict := &expr.Verdict{Kind: expr.VerdictGoto, Chain: name}
	key := []byte{byte(e.Protocol), 0, 0, 0, byte(e.Port >> 8), byte(e.Port), 0, 0}
	if e.Addr.IsUnspecified() {
		return f.nodePorts, nftables.SetElement{Key: key, VerdictData: verdict}
	}
	return f.clusterIPs, nftables.SetElement{Key: append(e.Addr.AsSlice(), key...), VerdictData: verdict}
}
