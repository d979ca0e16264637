package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// explain decides one direction and puts it in words.
func (e *Evaluator) explain(c Connection, d traffic.Direction) Decision {
	if doors := e.doors(c, d); len(doors) > 0 && !doors[0].forward {
		return e.explainDoors(c, doors)
	}
	var way trail
	q := e.question(c, d)
	f := e.decide(c, d, &way)
	q.assumed = f.verdict
	decision := Decision{Verdict: f.verdict}
	decision.follow(way, d)
	switch {
	case f.exemption == notAPod && e.toOwnPod(c):
		decision.Reason = fmt.Sprintf("%s always reaches its own pods", hostWords(c.From))
	case f.exemption != notExempt:
		decision.Reason = f.exemption.reason(c.subject(d), c, d)
	case f.stage == nil:
		decision.Reason = e.undecided(c, d, way)
	case f.policy != nil:
		q.byRule(&decision, f)
	default:
		e.byIsolation(&decision, f.stage, q)
	}
	return decision
}

// follow notes what happened on the way to the decision.
func (d *Decision) follow(way trail, direction traffic.Direction) {
	for _, ev := range way {
		d.Steps = append(d.Steps, ev.String(direction))
		if ev.policy != nil {
			d.involve(ev.policy)
		}
	}
}

func (d *Decision) involve(p *policy.Policy) {
	if !slices.Contains(d.Policies, p.Ref) {
		d.Policies = append(d.Policies, p.Ref)
	}
}

func (x exemption) reason(subject Endpoint, c Connection, d traffic.Direction) string {
	switch {
	case x == toItself:
		return fmt.Sprintf("%s reaches itself, which is never filtered", subject)
	case x == fromOwnNode:
		return fmt.Sprintf("%s runs on %s, and a node always reaches its own pods", subject, hostWords(c.From))
	case subject.Pod != nil:
		return fmt.Sprintf("%s is on its node's network: no policy selects it", subject)
	case subject.Node != "":
		return fmt.Sprintf("%s is a node: no policy selects it for %s", subject, d)
	}
	return fmt.Sprintf("%s is outside the cluster: no policy selects it for %s", subject, d)
}

// hostWords is the node that an endpoint is.
func hostWords(e Endpoint) string {
	if e.Pod != nil {
		return e.String() + "'s node"
	}
	return e.String()
}

// undecided is the reason where every tier let the connection go on.
func (e *Evaluator) undecided(c Connection, d traffic.Direction, way trail) string {
	subject := c.subject(d)
	stages := e.stages(subject.NetworkPod(), d)
	if len(stages) == 0 {
		return fmt.Sprintf("no policy selects %s for %s", subject, d)
	}
	passes := func(ev event) bool { return (ev.policy != nil || ev.stage.isolates) && ev.action(d) == policy.Pass }
	if i := slices.IndexFunc(way, passes); i >= 0 {
		return fmt.Sprintf("passed on by %s, and no later tier decides", way[i].ruleName(d))
	}
	var selecting []policy.Ref
	for _, s := range stages {
		selecting = append(selecting, refs(s.policies)...)
	}
	return fmt.Sprintf("selected for %s by %s, but no rule decides %s", d, stages[0].names.join(selecting), c.towards(d))
}

// byRule is the reason where a rule decided.
func (q *question) byRule(decision *Decision, f finding) {
	d := q.direction
	rule := &f.policy.In(d).Rules[f.rule]
	decision.Tier, decision.Policy, decision.Rule = f.stage.tier.Name, f.policy.Ref, &f.rule
	verb := "denied"
	if f.verdict.Opens() {
		verb = "allowed"
	}
	decided := event{f.stage, f.policy, f.rule}
	decision.Reason = fmt.Sprintf("%s by %s%s: %s", verb, decided.ruleName(d), tierWords(f.stage), q.matched(rule))
	if f.verdict.Opens() {
		q.byOthers(decision, decided)
	}
}

// tierWords names the tier, unless it is the one that people think of anyway.
func tierWords(s *stage) string {
	if s.tier.Name == policy.NetworkPolicyTier.Name {
		return ""
	}
	return " in tier " + s.tier.Name
}

// byOthers adds the other NetworkPolicies that allow the connection too: they
// add up, so taking the first away would not close it.
func (q *question) byOthers(decision *Decision, decided event) {
	d := q.direction
	if decided.policy.Dialect != policy.Kubernetes {
		return
	}
	var also []string
	for _, p := range decided.stage.policies {
		if p.Dialect != policy.Kubernetes {
			continue
		}
		for i := range p.In(d).Rules {
			other := event{decided.stage, p, i}
			if other != decided && other.action(d) == policy.Allow && q.matches(&p.In(d).Rules[i]) {
				also = append(also, other.ruleName(d))
				decision.involve(p)
			}
		}
	}
	if len(also) > 0 {
		decision.Reason += "; also by " + strings.Join(also, ", ")
	}
}

// byIsolation is the reason where the end of a tier denied.
func (e *Evaluator) byIsolation(decision *Decision, s *stage, q *question) {
	d := q.direction
	var isolating []policy.Ref
	for _, p := range s.policies {
		if p.In(d).Isolates || s.missing {
			isolating = append(isolating, p.Ref)
			decision.involve(p)
		}
	}
	decision.Tier = s.tier.Name
	if len(isolating) == 1 {
		decision.Policy = isolating[0]
	}
	if s.missing {
		decision.Reason = fmt.Sprintf("denied for %s: %s names tier %s, which does not exist", d, s.names.join(isolating), s.tier.Name)
		return
	}
	decision.Reason = fmt.Sprintf("isolated for %s by %s%s; no rule allows %s", d, s.names.join(isolating), tierWords(s), q.towards(d))
	decision.Hints = e.hints(s, q)
}

// towards names what a rule would have to speak of: the other end and the port.
func (c Connection) towards(d traffic.Direction) string {
	return fmt.Sprintf("%s on %s", c.other(d), c.what())
}

// action is the rule's, or at the end of a tier what the end does.
func (ev event) action(d traffic.Direction) policy.Action {
	switch {
	case ev.policy != nil:
		return ev.policy.In(d).Rules[ev.rule].Action
	case ev.stage.isolates:
		return ev.stage.tier.End
	}
	return policy.Pass
}

// ruleName is "shop/backend rule 0", with the rule's own name if it has one.
func (ev event) ruleName(d traffic.Direction) string {
	if ev.policy == nil {
		return "tier " + ev.stage.tier.Name
	}
	if name := ev.policy.In(d).Rules[ev.rule].Name; name != "" {
		return fmt.Sprintf("%s rule %d (%s)", ev.stage.names.of(ev.policy.Ref), ev.rule, name)
	}
	return fmt.Sprintf("%s rule %d", ev.stage.names.of(ev.policy.Ref), ev.rule)
}

var verbs = map[policy.Action]string{
	policy.Allow: "allows", policy.Deny: "denies", policy.Pass: "passes", policy.Log: "logs",
}

// String is a step for people: "Admin tier: acme-baseline rule 2 passes".
func (ev event) String(d traffic.Direction) string {
	verb := verbs[ev.action(d)]
	switch {
	case ev.policy != nil:
		return fmt.Sprintf("%s tier: %s %s", ev.stage.tier.Name, ev.ruleName(d), verb)
	case ev.stage.missing:
		return fmt.Sprintf("%s tier: does not exist, and denies", ev.stage.tier.Name)
	case ev.stage.isolates:
		return fmt.Sprintf("%s tier: no rule of %s decides, so its end %s", ev.stage.tier.Name, ev.stage.names.join(refs(ev.stage.policies)), verb)
	}
	return fmt.Sprintf("%s tier: no rule of %s decides", ev.stage.tier.Name, ev.stage.names.join(refs(ev.stage.policies)))
}

func refs(policies []*policy.Policy) []policy.Ref {
	out := make([]policy.Ref, len(policies))
	for i, p := range policies {
		out[i] = p.Ref
	}
	return out
}
