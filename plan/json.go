package plan

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
)

// document is the plan as JSON: the tables as sorted lists.
type document struct {
	Node      string           `json:"node"`
	Peers     []peerDocument   `json:"peers"`
	Addresses []addrDocument   `json:"addresses"`
	Ranges    []rangeDocument  `json:"ranges"`
	Held      []heldDocument   `json:"held,omitempty"`
	Known     []netip.Addr     `json:"known,omitempty"`
	Local     []localDocument  `json:"local"`
	Hosts     []hostDocument   `json:"hosts,omitempty"`
	Own       []netip.Prefix   `json:"own,omitempty"`
	Keep      []netip.AddrPort `json:"keep,omitempty"`
	Classes   []classDocument  `json:"classes"`
	Filters   []filterDocument `json:"filters,omitempty"`
}

type filterDocument struct {
	ID    string   `json:"id"`
	Rules []string `json:"rules"`
}

type hostDocument struct {
	Device  string            `json:"device,omitempty"`  // absent: every one but those of pods
	Address string            `json:"address,omitempty"` // absent: any other
	Classes map[string]string `json:"classes"`           // by place
}

type peerDocument struct {
	ID       string   `json:"id"`
	Wider    string   `json:"wider,omitempty"`
	Matchers []string `json:"matchers"`
}

type addrDocument struct {
	Address netip.Addr `json:"address"`
	Peer    string     `json:"peer"`
}

type rangeDocument struct {
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
	Peer  string     `json:"peer"`
}

type heldDocument struct {
	First netip.Addr `json:"first"`
	Last  netip.Addr `json:"last"`
}

type localDocument struct {
	Address netip.Addr `json:"address"`
	Egress  string     `json:"egress,omitempty"`
	Ingress string     `json:"ingress,omitempty"`
}

type classDocument struct {
	ID        string        `json:"id"`
	Direction string        `json:"direction"`
	Default   string        `json:"default"`
	Audit     bool          `json:"audit,omitempty"`
	Grants    bool          `json:"grants,omitempty"`
	Policies  []string      `json:"policies"`
	Learns    []string      `json:"learns,omitempty"`
	Rows      []rowDocument `json:"rows"`
}

type rowDocument struct {
	Verdict  string `json:"verdict"`
	Peer     string `json:"peer,omitempty"` // absent: any
	Protocol string `json:"protocol,omitempty"`
	From     uint16 `json:"from,omitempty"`
	To       uint16 `json:"to,omitempty"`
	Filter   string `json:"filter,omitempty"`
}

// MarshalJSON writes the tables as sorted lists; a local pod that is open in
// a direction lacks its class, a row for any peer lacks the peer.
func (p *Plan) MarshalJSON() ([]byte, error) {
	d := document{
		Node:  p.Node,
		Peers: []peerDocument{}, Addresses: []addrDocument{}, Ranges: []rangeDocument{},
		Local: []localDocument{}, Classes: []classDocument{},
	}
	for _, id := range slices.Sorted(maps.Keys(p.Peers)) {
		peer := peerDocument{ID: id.String(), Matchers: append([]string{}, p.Peers[id]...)}
		if wider, ok := p.Wider[id]; ok {
			peer.Wider = wider.String()
		}
		d.Peers = append(d.Peers, peer)
	}
	for _, addr := range sortedAddrs(p.Addrs) {
		d.Addresses = append(d.Addresses, addrDocument{addr, p.Addrs[addr].String()})
	}
	for _, r := range slices.SortedFunc(maps.Keys(p.Ranges), Range.Compare) {
		d.Ranges = append(d.Ranges, rangeDocument{r.First, r.Last, p.Ranges[r].String()})
	}
	for _, r := range slices.SortedFunc(maps.Keys(p.Held), Range.Compare) {
		d.Held = append(d.Held, heldDocument(r))
	}
	d.Known = sortedAddrs(p.Known)
	for _, addr := range sortedAddrs(p.Local) {
		l := p.Local[addr]
		d.Local = append(d.Local, localDocument{addr, l.Egress.orNone(), l.Ingress.orNone()})
	}
	p.documentHosts(&d)
	for _, id := range slices.Sorted(maps.Keys(p.Classes)) {
		d.Classes = append(d.Classes, p.Classes[id].document(id))
	}
	for _, id := range slices.Sorted(maps.Keys(p.Filters)) {
		d.Filters = append(d.Filters, filterDocument{id.String(), p.Filters[id].Lines()})
	}
	return json.Marshal(d)
}

func (id ClassID) orNone() string {
	if id == 0 {
		return ""
	}
	return id.String()
}

func (c *Class) document(id ClassID) classDocument {
	d := classDocument{
		ID: id.String(), Direction: c.Direction.String(), Default: c.Default.String(), Audit: c.Audit, Grants: c.Grants,
		Policies: append([]string{}, c.Policies...), Rows: []rowDocument{},
	}
	for _, s := range c.Learns {
		d.Learns = append(d.Learns, s.Key)
	}
	for _, row := range slices.SortedFunc(maps.Keys(c.Rows), Row.Compare) {
		r := rowDocument{Verdict: c.Rows[row].String(), From: row.From, To: row.To}
		if !row.AnyPeer {
			r.Peer = row.Peer.String()
		}
		if row.Protocol != 0 {
			r.Protocol = row.Protocol.String()
		}
		if filter, ok := c.Filters[row]; ok {
			r.Filter = filter.String()
		}
		d.Rows = append(d.Rows, r)
	}
	return d
}
