package agent

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Accepted is the condition that an agent writes into the status of policies. The
// API names no types, and other engines may write theirs beside it.
const Accepted = "bulkhead.dev/Accepted"

// allAccepted is its reason where nothing is wrong.
const allAccepted = "PolicyAccepted"

// longestMessage is the limit of metav1.Condition.
const longestMessage = 32768

// accepted is what the condition says of an object. It says what every agent of
// the cluster knows, and nothing of a single node.
func accepted(c *content, errs field.ErrorList) metav1.Condition {
	fault := Fault{Reason: NotSupported, Errs: errs, Gaps: c.gaps}
	text := fault.Text()
	switch {
	case text == "":
		return metav1.Condition{Status: metav1.ConditionTrue, Reason: allAccepted, Message: "All of the policy is enforced."}
	case len(c.policies) == 0:
		fault.Reason = NotEnforced
	case len(errs) > 0:
		fault.Reason = PartlyEnforced
	}
	text = consequences[fault.Reason] + ": " + text
	return metav1.Condition{Status: metav1.ConditionFalse, Reason: string(fault.Reason), Message: text[:min(len(text), longestMessage)]}
}
