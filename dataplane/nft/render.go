package nft

import (
	"fmt"
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// render is the whole table that a plan asks for.
func render(p *plan.Plan, options Options) (*ruleset, error) {
	r := newRuleset()
	if err := r.addBase(p.Node, options); err != nil {
		return nil, err
	}
	for id, class := range p.Classes {
		counts, err := countRows(class.Rows)
		if err != nil {
			return nil, fmt.Errorf("class %s: %w", id, err)
		}
		if err := r.addClass(id, classShape(class, counts), class.Rows); err != nil {
			return nil, err
		}
	}
	addAll(p.Peers, r.addGroup)
	addAll(p.Wider, r.addWider)
	addAll(p.Addrs, r.addAddr)
	addAll(p.Ranges, r.addRange)
	addAll(p.Held, r.addHeldRange)
	addAll(p.Known, r.addKnown)
	for addr, local := range p.Local {
		if err := checkLocal(addr, local, p.Classes); err != nil {
			return nil, err
		}
	}
	addAll(p.Local, r.addLocal)
	if err := checkHosts(hostsOf(p), p.Classes); err != nil {
		return nil, err
	}
	return r, r.addHosts(hostsOf(p), options.Proxy)
}

func addAll[K comparable, V any](entries map[K]V, add func(K, V)) {
	for k, v := range entries {
		add(k, v)
	}
}

func countRows(rows map[plan.Row]traffic.Verdict) (map[classSet]int, error) {
	counts := map[classSet]int{}
	for row, verdict := range rows {
		kind, err := kindOf(row)
		if err != nil {
			return nil, err
		}
		counts[classSet{kind, verdict}]++
	}
	return counts, nil
}

func (r *ruleset) addGroup(id plan.PeerID, names []string) {
	r.addElement(setGroups, element{key: string(hostOrder(uint32(id))), comment: comment("", names)})
}

func (r *ruleset) addWider(id, wider plan.PeerID) {
	r.addElement(mapWider, element{key: string(hostOrder(uint32(id))), data: string(hostOrder(uint32(wider)))})
}

func (r *ruleset) addAddr(addr netip.Addr, id plan.PeerID) {
	set := mapPeers + familyOf(addr.BitLen()).suffix
	r.addElement(set, element{key: string(addr.AsSlice()), data: string(hostOrder(uint32(id)))})
}

// addRange adds a range as the kernel has it: its first address with the value,
// and the first address behind it as its end. The last range of all has no end.
func (r *ruleset) addRange(span plan.Range, id plan.PeerID) {
	r.addSpan(mapRanges, span, string(hostOrder(uint32(id))))
}

func (r *ruleset) addSpan(set string, span plan.Range, data string) {
	set += familyOf(span.First.BitLen()).suffix
	r.addElement(set, element{key: string(span.First.AsSlice()), data: data})
	if next := span.Last.Next(); next.IsValid() {
		r.addElement(set, element{key: string(next.AsSlice()), end: true})
	}
}

// addLocal adds a local pod: to itself it may always talk, and each direction
// in which policies select it has a class.
func (r *ruleset) addLocal(addr netip.Addr, local plan.Local) {
	f, key := familyOf(addr.BitLen()), string(addr.AsSlice())
	r.addElement(setSelf+f.suffix, element{key: key + key})
	for direction, id := range map[traffic.Direction]plan.ClassID{traffic.Egress: local.Egress, traffic.Ingress: local.Ingress} {
		if id != 0 {
			r.addElement(mapOfPods(direction, f), element{key: key, data: string(hostOrder(uint32(id)))})
		}
	}
}

// checkHosts tells of a door whose class is not in the plan.
func checkHosts(t hostTables, classes map[plan.ClassID]*plan.Class) error {
	for d, h := range t.hosts {
		for id, direction := range h.Classes() {
			if class, ok := classes[id]; !ok || class.Direction != direction {
				return fmt.Errorf("host %s: the plan has no %s class %s", d, direction, id)
			}
		}
	}
	return nil
}

// checkLocal tells of a pod whose class is not in the plan.
func checkLocal(addr netip.Addr, local plan.Local, classes map[plan.ClassID]*plan.Class) error {
	for direction, id := range map[traffic.Direction]plan.ClassID{traffic.Egress: local.Egress, traffic.Ingress: local.Ingress} {
		if class, ok := classes[id]; id != 0 && (!ok || class.Direction != direction) {
			return fmt.Errorf("local pod %s: the plan has no %s class %s", addr, direction, id)
		}
	}
	return nil
}
