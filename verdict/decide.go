package verdict

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// exemption is why no policy is asked at all.
type exemption uint8

const (
	notExempt exemption = iota
	toItself            // a pod that reaches itself by its own address
	fromOwnNode
	notAPod // the end that policies would protect is a node or outside
)

// finding is how one direction was decided. With neither exemption nor stage
// nothing decided, and the connection is allowed.
type finding struct {
	verdict   traffic.Verdict
	exemption exemption
	stage     *stage
	policy    *policy.Policy // whose rule decided; nil: the tier's end did
	rule      int
}

// event is a rule that matched or a tier that came to its end; rule is -1 then.
type event struct {
	stage  *stage
	policy *policy.Policy // nil at the tier's end
	rule   int
}

// trail is what happened on the way to a decision. A nil one notes nothing.
type trail []event

func (t *trail) add(e event) {
	if t != nil {
		*t = append(*t, e)
	}
}

// decide takes a connection through the tiers of one direction. What happens on
// the way is added to the trail.
func (e *Evaluator) decide(c Connection, d traffic.Direction, trail *trail) finding {
	if why := exempt(c, d); why != notExempt {
		return finding{verdict: traffic.Allow, exemption: why}
	}
	stages := e.stages(c.subject(d).NetworkPod(), d)
	for i := range stages {
		s := &stages[i]
		p, rule, action := e.ask(s, c, d, trail)
		switch action {
		case policy.Allow:
			return finding{verdict: traffic.Allow, stage: s, policy: p, rule: rule}
		case policy.Deny:
			return finding{verdict: traffic.Deny, stage: s, policy: p, rule: rule}
		}
	}
	return finding{verdict: traffic.Allow}
}

// ask is what a tier does with a connection: Allow, Deny, or Pass to the next
// tier. The policy is nil where no rule matched.
func (e *Evaluator) ask(s *stage, c Connection, d traffic.Direction, trail *trail) (*policy.Policy, int, policy.Action) {
	for _, p := range s.policies {
		for i := range p.In(d).Rules {
			rule := &p.In(d).Rules[i]
			if !e.matches(rule, c, d) {
				continue
			}
			trail.add(event{s, p, i})
			if rule.Action != policy.Log {
				return p, i, rule.Action
			}
		}
	}
	trail.add(event{s, nil, -1})
	if s.isolates {
		return nil, -1, s.tier.End
	}
	return nil, -1, policy.Pass
}

// exempt is why a direction of a connection is not filtered.
func exempt(c Connection, d traffic.Direction) exemption {
	pod := c.subject(d).NetworkPod()
	switch {
	case pod == nil:
		return notAPod
	case c.From.Addr == c.To.Addr:
		return toItself
	case d == traffic.Ingress && c.From.Host() != "" && c.From.Host() == pod.Node:
		return fromOwnNode
	}
	return notExempt
}

// matches tells whether a rule speaks of the connection: one of its peers and
// one of its ports do.
func (e *Evaluator) matches(rule *policy.Rule, c Connection, d traffic.Direction) bool {
	return e.matchesPeer(rule, c.other(d)) && matchesPort(rule, c)
}

func (e *Evaluator) matchesPeer(rule *policy.Rule, other Endpoint) bool {
	return rule.AnyPeer || slices.ContainsFunc(rule.Peers, func(p policy.Peer) bool { return e.picks(p, other) })
}

// picks tells whether a peer is the endpoint.
func (e *Evaluator) picks(peer policy.Peer, other Endpoint) bool {
	pod := other.NetworkPod()
	if pod == nil {
		return peer.Matches(other.Addr, nil, nil)
	}
	return peer.Matches(other.Addr, pod, e.snapshot.NamespaceLabels(pod.Namespace))
}

func matchesPort(rule *policy.Rule, c Connection) bool {
	return rule.AnyPort || slices.ContainsFunc(rule.Ports, func(p policy.Port) bool { return fits(p, c) })
}

// fits tells whether a rule's port is the connection's. A name means what the
// destination pod calls so in that protocol; nothing else has names for ports.
func fits(port policy.Port, c Connection) bool {
	switch {
	case port.Protocol != traffic.AnyProtocol && port.Protocol != c.Protocol:
		return false
	case port.Name != "":
		pod := c.To.NetworkPod()
		return pod != nil && slices.Contains(pod.Resolve(port.Name, c.Protocol), c.Port)
	case port.From == 0 && port.To == 0:
		return true
	}
	return c.Protocol.HasPorts() && port.From <= c.Port && c.Port <= port.To
}
