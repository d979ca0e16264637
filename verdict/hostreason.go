package verdict

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// toOwnPod tells whether a connection goes from a node with policies to one of
// its own pods.
func (e *Evaluator) toOwnPod(c Connection) bool {
	if !e.hosted() {
		return false
	}
	from, to := e.sideOf(c.From), e.sideOf(c.To)
	return from.node != nil && from.node == to.node && from.process && !to.process
}

// explainDoors takes a connection through the doors of one direction, of which
// the first that denies decides, and puts it in words.
func (e *Evaluator) explainDoors(c Connection, doors []door) Decision {
	var decided Decision
	for i, at := range doors {
		decision := e.explainDoor(c, at)
		if i == 0 || decision.Verdict == traffic.Deny && decided.Verdict == traffic.Allow {
			decided = decision
		}
	}
	return decided
}

func (e *Evaluator) explainDoor(c Connection, at door) Decision {
	var way trail
	f := e.pass(c, at, &way)
	decision := Decision{Verdict: f.verdict}
	decision.follow(way, at.direction)
	q := e.questionAt(c, at)
	switch {
	case f.policy != nil:
		q.byRule(&decision, f)
	case f.stage != nil:
		e.byIsolation(&decision, f.stage, q)
	default:
		decision.Reason = e.undecidedAt(c, at, f)
	}
	if at.forward {
		decision.Reason = fmt.Sprintf("%s: %s", at, decision.Reason)
	}
	return decision
}

// undecidedAt is the reason where no policy decided at a door.
func (e *Evaluator) undecidedAt(c Connection, at door, f finding) string {
	switch {
	case f.exemption == failsafe:
		return fmt.Sprintf("%s is a failsafe port of %s: no policy closes it", c.what(), at)
	case f.verdict == traffic.Deny && e.keeper(at).empty():
		return fmt.Sprintf("no policy selects %s for %s, and without one it is closed but for failsafe ports", at, at.direction)
	case f.verdict == traffic.Deny:
		return fmt.Sprintf("no policy of %s decides %s, and it denies what none allows", at, c.towards(at.direction))
	case e.keeper(at).empty():
		return fmt.Sprintf("no policy selects %s for %s", at, at.direction)
	}
	return fmt.Sprintf("no policy of %s decides %s", at, c.towards(at.direction))
}

// String is the door as one would call it: "host endpoint n1-eth0", "node/n1".
func (at door) String() string {
	if at.host != nil {
		return "host endpoint " + at.host.Name
	}
	return "node/" + at.node.Name
}

// empty: no policy protects the door.
func (k *doorkeeper) empty() bool {
	for _, stages := range k.early {
		if len(stages) > 0 {
			return false
		}
	}
	return len(k.late) == 0
}

// explainForward is what the nodes say that pass the connection on and have
// policies for that.
func (e *Evaluator) explainForward(c Connection) []ForwardDecision {
	var found []ForwardDecision
	for _, d := range []traffic.Direction{traffic.Egress, traffic.Ingress} {
		for _, at := range e.doors(c, d) {
			if at.forward && !e.keeper(at).empty() {
				found = append(found, ForwardDecision{Node: at.node.Name, Direction: d, Decision: e.explainDoor(c, at)})
			}
		}
	}
	return found
}
