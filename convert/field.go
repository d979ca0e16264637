package convert

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// words are what a dialect calls the parts of a policy. The parts of an empty name
// are the rule itself.
type words struct{ subject, from, to, ports string }

var called = map[policy.Dialect]words{
	policy.Kubernetes:     {"podSelector", "from", "to", "ports"},
	policy.ClusterNetwork: {"subject", "from", "to", "protocols"},
	policy.Calico:         {"selector", "source", "destination", "destination.ports"},
	policy.Cilium:         {"endpointSelector", "", "", "toPorts"},
}

func (c *converter) spec() string {
	if c.from.Part != "" {
		return c.from.Part
	}
	return "spec"
}

func (c *converter) subjectField() string { return c.spec() + "." + called[c.from.Dialect].subject }

func (c *converter) ruleField(d traffic.Direction, n int) string {
	if c.from.Dialect == policy.Cilium {
		return c.ciliumField(d, n)
	}
	return fmt.Sprintf("%s.%s[%d]", c.spec(), d, n)
}

// ciliumField: Cilium has a list for each action.
func (c *converter) ciliumField(d traffic.Direction, n int) string {
	rules, at := c.from.In(d).Rules, 0
	for _, r := range rules[:n] {
		if r.Action == rules[n].Action {
			at++
		}
	}
	if rules[n].Action == policy.Deny {
		return fmt.Sprintf("%s.%sDeny[%d]", c.spec(), d, at)
	}
	return fmt.Sprintf("%s.%s[%d]", c.spec(), d, at)
}

// actionField is where the rule says what it does.
func (c *converter) actionField(d traffic.Direction, n int) string {
	if c.from.Dialect == policy.Cilium {
		return c.ruleField(d, n)
	}
	return c.ruleField(d, n) + ".action"
}

func (c *converter) peersField(d traffic.Direction, n int) string {
	word := called[c.from.Dialect].to
	if d == traffic.Ingress {
		word = called[c.from.Dialect].from
	}
	return join(c.ruleField(d, n), word)
}

func (c *converter) portsField(d traffic.Direction, n int) string {
	return join(c.ruleField(d, n), called[c.from.Dialect].ports)
}

// selfField is where Calico, alone, asks for the policy's own pod.
func (c *converter) selfField(d traffic.Direction) string {
	if d == traffic.Ingress {
		return "destination"
	}
	return "source"
}

func join(path, field string) string {
	if field == "" {
		return path
	}
	return path + "." + field
}
