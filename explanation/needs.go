package explanation

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Needs are the well-known connections that a node lives on, and what becomes of
// them under the policies. Whoever protects nodes looks here first.
type Needs struct {
	Node  string `json:"node"`
	Needs []Need `json:"needs"`
}

// Need is one of them.
type Need struct {
	Name     string           `json:"name"`
	From     string           `json:"from"`
	To       string           `json:"to"`
	Protocol traffic.Protocol `json:"protocol"`
	Port     uint16           `json:"port"`
	Verdict  traffic.Verdict  `json:"verdict"`
	Reason   string           `json:"reason"` // at the end that decides
}

// Cut tells whether one of them is denied.
func (n *Needs) Cut() bool {
	return slices.ContainsFunc(n.Needs, func(need Need) bool { return need.Verdict == traffic.Deny })
}

// wellKnown are the needs. Another node stands for the control plane's.
var wellKnown = []struct {
	name     string
	protocol traffic.Protocol
	port     uint16
	in       bool // to the node, otherwise from it
	node     bool // the other end is another node, otherwise anybody
}{
	{"SSH", traffic.TCP, 22, true, false},
	{"kubelet", traffic.TCP, 10250, true, true},
	{"API server", traffic.TCP, 6443, false, true},
	{"API server", traffic.TCP, 443, false, false},
	{"etcd", traffic.TCP, 2379, false, true},
	{"DNS", traffic.UDP, 53, false, false},
	{"DNS", traffic.TCP, 53, false, false},
	// Between nodes, if the pod network is one of tunnels: VXLAN as Linux has it
	// by default, and of RFC 7348.
	{"tunnels", traffic.UDP, 8472, true, true},
	{"tunnels", traffic.UDP, 4789, true, true},
}

// anybody are addresses of the networks for documentation (RFC 5737, RFC 3849), of
// which one that no policy on hosts speaks of stands for all others.
var anybody = []netip.Addr{
	netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8::10"),
}

// NewNeeds says what of a node's needs the policies deny. Its error is the
// person's to mend.
func NewNeeds(s *cluster.Snapshot, set *policy.Set, node string) (*Needs, error) {
	n, ok := s.Nodes[node]
	if !ok || len(n.Addrs) == 0 {
		return nil, fmt.Errorf("there is no node %q with an address: it has %v", node, slices.Sorted(maps.Keys(s.Nodes)))
	}
	self := verdict.Endpoint{Addr: n.Addrs[0], Node: node}
	model := verdict.New(s, set)
	found := &Needs{Node: node}
	for _, w := range wellKnown {
		other := stranger(set, self.Addr)
		if w.node {
			other = otherNode(s, self)
		}
		c := verdict.Connection{From: self, To: other, Protocol: w.protocol, Port: w.port}
		if w.in {
			c.From, c.To = other, self
		}
		found.Needs = append(found.Needs, needOf(w.name, c, model.Evaluate(c), w.in))
	}
	return found, nil
}

func needOf(name string, c verdict.Connection, r verdict.Result, in bool) Need {
	need := Need{Name: name, From: whom(c.From), To: whom(c.To), Protocol: c.Protocol, Port: c.Port, Verdict: r.Verdict, Reason: r.Egress.Reason}
	if in && r.Egress.Verdict == traffic.Allow || r.Egress.Verdict == traffic.Allow && r.Ingress.Verdict == traffic.Deny {
		need.Reason = r.Ingress.Reason
	}
	return need
}

// whom calls those who stand for all others so.
func whom(e verdict.Endpoint) string {
	if slices.Contains(anybody, e.Addr) {
		return "anybody"
	}
	return e.String()
}

// otherNode is another node of the same address family, or an address that stands
// for one where there is none.
func otherNode(s *cluster.Snapshot, self verdict.Endpoint) verdict.Endpoint {
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		for _, addr := range s.Nodes[name].Addrs {
			if name != self.Node && addr.Is4() == self.Addr.Is4() {
				return verdict.Endpoint{Addr: addr, Node: name}
			}
		}
	}
	return stranger(policy.NewSet(), self.Addr)
}

// stranger is an address that policies on hosts do not speak of.
func stranger(set *policy.Set, like netip.Addr) verdict.Endpoint {
	fits := func(a netip.Addr) bool { return a.Is4() == like.Is4() }
	for _, a := range anybody {
		if fits(a) && !spokenOf(set, a) {
			return verdict.Endpoint{Addr: a}
		}
	}
	return verdict.Endpoint{Addr: anybody[slices.IndexFunc(anybody, fits)]}
}

func spokenOf(set *policy.Set, addr netip.Addr) bool {
	names := func(p policy.Peer) bool {
		return p.CIDR != nil && p.CIDR.Prefix.Bits() > 0 && p.CIDR.Prefix.Contains(addr)
	}
	for _, p := range set.Policies {
		for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
			rules := p.In(d)
			if p.Hosts != nil && rules != nil && slices.ContainsFunc(rules.Rules, func(r policy.Rule) bool { return slices.ContainsFunc(r.Peers, names) }) {
				return true
			}
		}
	}
	return slices.ContainsFunc(slices.Collect(maps.Values(set.Networks)), func(n *policy.Networks) bool { return n.Contains(addr) })
}

// WriteTable writes one need a line: what is cut stands out, and says why.
func (n *Needs) WriteTable(p *printer.Printer) error {
	var rows [][]printer.Cell
	for _, need := range n.Needs {
		word := printer.Cell{Text: "open", Style: printer.Green}
		if need.Verdict == traffic.Deny {
			word = printer.Cell{Text: "cut", Style: printer.Red}
		}
		rows = append(rows, []printer.Cell{
			word, {Text: need.Name}, {Text: fmt.Sprintf("%s -> %s %s", need.From, need.To, port(need.Protocol, need.Port))}, {Text: need.Reason},
		})
	}
	return p.Columns(rows)
}
