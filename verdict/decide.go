package verdict

import (
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// exemption is why no policy is asked at all.
type exemption uint8

const (
	notExempt exemption = iota
	toItself            // a pod that reaches itself by its own address
	fromOwnNode
	notAPod  // the end that policies would protect is a node or outside
	failsafe // a port of a host that no policy closes
)

// finding is how one direction was decided. With neither exemption nor stage
// nothing decided, and the connection is allowed.
type finding struct {
	verdict   traffic.Verdict
	exemption exemption
	stage     *stage
	policy    *policy.Policy // whose rule decided; nil: the tier's end did
	rule      int
	door      *door // nil: a pod's policies decided
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
	return e.question(c, d).decide(stages, trail)
}

// pass takes the connection through the tiers once.
func (q *question) pass(stages []stage, trail *trail) finding {
	for len(stages) > 0 {
		lanes := lanesOf(stages)
		stages = stages[len(lanes):]
		if f, decided := q.askAll(lanes, trail); decided {
			return f
		}
	}
	return finding{verdict: traffic.Allow}
}

// lanesOf are the stages of the first one's tier.
func lanesOf(stages []stage) []stage {
	n := 1
	for n < len(stages) && stages[n].tier.Name == stages[0].tier.Name {
		n++
	}
	return stages[:n]
}

// askAll is what the lanes of a tier say together: what one denies is denied, and
// what one passes goes on, though another allows it.
func (q *question) askAll(lanes []stage, trail *trail) (f finding, decided bool) {
	decided = true
	for i := range lanes {
		p, rule, action := q.ask(&lanes[i], trail)
		switch action {
		case policy.Deny:
			return finding{verdict: traffic.Deny, stage: &lanes[i], policy: p, rule: rule}, true
		case policy.Pass:
			decided = false
		case policy.Allow:
			f = finding{verdict: traffic.Allow, stage: &lanes[i], policy: p, rule: rule}
		}
	}
	return f, decided
}

// ask is what one lane of a tier does with a connection: Allow, Deny, or Pass to
// the next tier. The policy is nil where no rule matched.
func (q *question) ask(s *stage, trail *trail) (*policy.Policy, int, policy.Action) {
	isDeny := func(a policy.Action) bool { return a == policy.Deny }
	var found event
	if s.union {
		found = q.first(s, trail, isDeny)
	}
	if found.policy == nil {
		found = q.first(s, trail, func(a policy.Action) bool { return !s.union || !isDeny(a) })
	}
	if found.policy != nil {
		return found.policy, found.rule, found.action(q.direction)
	}
	trail.add(event{s, nil, -1})
	if s.isolates {
		return nil, -1, s.tier.End
	}
	return nil, -1, policy.Pass
}

// first is the first rule that matches and does not just log, out of those with
// some actions. Its policy is nil if there is none.
func (q *question) first(s *stage, trail *trail, among func(policy.Action) bool) event {
	if s.missing {
		return event{}
	}
	for _, p := range s.policies {
		for i := range p.In(q.direction).Rules {
			rule := &p.In(q.direction).Rules[i]
			if !among(rule.Action) || !q.matches(rule) {
				continue
			}
			found := event{s, p, i}
			trail.add(found)
			if rule.Action != policy.Log {
				return found
			}
		}
	}
	return event{}
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
