package verdict

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// question is a connection as the policies of one direction see it.
type question struct {
	Connection
	direction   traffic.Direction
	self, other *policy.End
	host        *policy.Host // whose policies ask; nil: no host's
	// assumed is the kind of rule, by its verdict, whose content is taken to
	// match; Deny: none.
	assumed traffic.Verdict
}

func (e *Evaluator) question(c Connection, d traffic.Direction) *question {
	return &question{Connection: c, direction: d, self: e.end(c, c.subject(d), d), other: e.end(c, c.other(d), d)}
}

// matches tells whether a rule speaks of the connection: the pod that it
// protects, one of its peers, one of its ports and the content fit.
func (q *question) matches(rule *policy.Rule) bool {
	return q.matchesSelf(rule) && q.matchesPeer(rule) && q.matchesPort(rule) && q.matchesContent(rule)
}

func (q *question) matchesSelf(rule *policy.Rule) bool {
	return len(rule.Self) == 0 || slices.ContainsFunc(rule.Self, func(p policy.Peer) bool { return p.Matches(q.self) })
}

func (q *question) matchesPeer(rule *policy.Rule) bool {
	return rule.AnyPeer || slices.ContainsFunc(rule.Peers, func(p policy.Peer) bool { return p.Matches(q.other) })
}

func (q *question) matchesPort(rule *policy.Rule) bool {
	return (rule.AnyPort || slices.ContainsFunc(rule.Ports, q.fits)) && !slices.ContainsFunc(rule.NotPorts, q.fits)
}

// fits tells whether a rule's port is the connection's. A name means what the
// destination pod calls so in that protocol, or the host whose ingress it is;
// nothing else has names for ports.
func (q *question) fits(port policy.Port) bool {
	c := q.Connection
	inside := port.From <= c.Port && c.Port <= port.To
	switch {
	case port.Protocol != traffic.AnyProtocol && port.Protocol != c.Protocol:
		return false
	case port.Name != "":
		return slices.Contains(q.resolve(port.Name, c.Protocol), c.Port)
	case port.Typed:
		return c.Protocol.HasTypes() && inside
	case port.From == 0 && port.To == 0:
		return true
	}
	return c.Protocol.HasPorts() && inside
}

// resolve is the numbers of a port's name at the destination.
func (q *question) resolve(name string, protocol traffic.Protocol) []uint16 {
	if q.host != nil && q.direction == traffic.Ingress {
		return q.host.Resolve(name, protocol)
	}
	if pod := q.To.NetworkPod(); pod != nil {
		return pod.Resolve(name, protocol)
	}
	return nil
}
