package compile

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Backends of services are matched as sets of networks are: by marks on their
// addresses. A rule for their ports is written once for each list of ports that
// some backend has, about the backends that have this list.

// settleEndpoints follows where services lead.
func (c *Compiler) settleEndpoints() {
	if len(c.pending.endpoints) == 0 {
		return
	}
	for name, e := range c.pending.endpoints {
		if e == nil {
			delete(c.endpoints, name)
		} else {
			c.endpoints[name] = e
		}
	}
	for m := range c.serviceMatchers {
		c.markServices(m)
	}
	for r := range c.portRules {
		if r.served != c.servedText(r) {
			c.fill(r)
			for class := range r.classes {
				c.dirty.classes[class] = struct{}{}
			}
		}
	}
}

// served is a matcher's question about backends.
type served struct {
	*policy.ServiceSelector
	ports string // only backends with this list of ports; empty: any
}

func (w *writer) acquireServices(p policy.Peer) *matcher {
	text := p.String()
	if w.ports != "" {
		text += " " + w.ports
	}
	return w.acquire(text, w.ruleset, func(m *matcher) {
		m.services = &served{p.Services, w.ports}
		w.serviceMatchers[m] = struct{}{}
		w.markServices(m)
	})
}

// markServices marks the addresses that the matcher is about, before it takes
// away the marks that it had.
func (c *Compiler) markServices(m *matcher) {
	old := m.marked
	m.marked = nil
	c.eachBackend(m.services.ServiceSelector, func(b cluster.Backend) {
		if m.services.ports == "" || m.services.ports == portList(b.Ports) {
			prefix := netip.PrefixFrom(b.Addr, b.Addr.BitLen())
			c.nets.mark(prefix, m)
			m.marked = append(m.marked, prefix)
		}
	})
	c.unmarkNetworks(m, old)
}

func (c *Compiler) forgetServices(m *matcher) {
	delete(c.serviceMatchers, m)
	c.unmarkNetworks(m, m.marked)
}

func (c *Compiler) eachBackend(s *policy.ServiceSelector, visit func(cluster.Backend)) {
	visitAll := func(e *cluster.Endpoints) {
		if e == nil || !s.Matches(e) {
			return
		}
		for _, b := range e.Backends {
			visit(b)
		}
	}
	if s.Namespace != "" && s.Name != "" {
		visitAll(c.endpoints[cluster.Name{Namespace: s.Namespace, Name: s.Name}])
		return
	}
	for _, e := range c.endpoints {
		visitAll(e)
	}
}

// portLists are the lists of ports that backends have, by their text.
func (c *Compiler) portLists(s *policy.ServiceSelector) map[string][]cluster.ServedPort {
	lists := map[string][]cluster.ServedPort{}
	c.eachBackend(s, func(b cluster.Backend) {
		if len(b.Ports) > 0 {
			lists[portList(b.Ports)] = b.Ports
		}
	})
	return lists
}

// portList is "TCP 80,UDP 53".
func portList(ports []cluster.ServedPort) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = fmt.Sprintf("%s %d", p.Protocol, p.Number)
	}
	return strings.Join(words, ",")
}

// servedText is what a ruleset makes of the ports of services; it is written anew
// when that changes.
func (c *Compiler) servedText(r *ruleset) string {
	var b strings.Builder
	rules := r.record.In(r.direction)
	if rules == nil {
		return ""
	}
	for n, rule := range rules.Rules {
		for _, p := range rule.Peers {
			if p.Services != nil && p.Services.Ports {
				fmt.Fprintln(&b, n, p.String(), slices.Sorted(maps.Keys(c.portLists(p.Services))))
			}
		}
	}
	return b.String()
}

// atPorts writes a rule's peer that is backends at their ports.
func (w *writer) atPorts(n int32, p policy.Peer) {
	if w.direction == traffic.Ingress {
		return // a source goes nowhere
	}
	open := *p.Services
	open.Ports = false
	p.Services = &open
	lists := w.portLists(&open)
	for _, text := range slices.Sorted(maps.Keys(lists)) {
		variant := w.rules[n]
		numbers := ports{numbers: map[traffic.Protocol]spans{}}
		for _, port := range lists[text] {
			numbers.numbers[port.Protocol] = numbers.numbers[port.Protocol].union(spans{{port.Number, port.Number}})
			w.protocols[port.Protocol] = struct{}{}
		}
		variant.within = &numbers
		at := int32(len(w.rules))
		w.rules = append(w.rules, variant)
		w.ports = text
		w.peers(at, []policy.Peer{p})
		w.ports = ""
	}
}
