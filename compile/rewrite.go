package compile

import (
	"maps"
	"reflect"
	"slices"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Most edits of a policy change what it says of a few peers. A class with a
// thousand policies has rows for thousands of groups, and only those that
// satisfy a matcher which the policy names, or named, can get another answer.

// touched are the matchers that a class's changed rules name or named.
type touched map[*matcher]struct{}

// selectAlike tells whether two versions of a policy are the same to the pods
// that they are for: they differ in their peers and ports at most.
func selectAlike(a, b *policy.Policy) bool {
	return a.Tier == b.Tier && a.Order == b.Order && reflect.DeepEqual(a.Subject, b.Subject) &&
		ownAlike(a.Ingress, b.Ingress, traffic.Ingress) && ownAlike(a.Egress, b.Egress, traffic.Egress)
}

func ownAlike(a, b *policy.Rules, d traffic.Direction) bool {
	if a == nil || b == nil {
		return a == b
	}
	return !asksOwn(a, d) && !asksOwn(b, d)
}

// asksOwn tells whether rules ask something of the pod that they are for: what
// it is, or what the name of a port means on it.
func asksOwn(rules *policy.Rules, d traffic.Direction) bool {
	return slices.ContainsFunc(rules.Rules, func(r policy.Rule) bool {
		return len(r.Self) > 0 || d == traffic.Ingress && len(namesOf(r.Ports))+len(namesOf(r.NotPorts)) > 0
	})
}

// rewrite compiles the rules of a policy in use that has changed.
func (c *Compiler) rewrite(r *record) {
	for _, rules := range []*ruleset{r.egress, r.ingress} {
		if rules == nil {
			continue
		}
		old := rules.script
		c.fill(rules)
		for class := range rules.classes {
			if !forAllAlike(&old, &rules.script) {
				c.dirty.classes[class] = struct{}{}
				continue
			}
			if c.dirty.rules[class] == nil {
				c.dirty.rules[class] = touched{}
			}
			note := func(m *matcher) { c.dirty.rules[class][m] = struct{}{} }
			old.matchers(note)
			rules.matchers(note)
		}
	}
}

// forAllAlike tells whether two scripts say the same of an address that
// satisfies none of their matchers, and of the class itself: which names it learns.
func forAllAlike(a, b *script) bool {
	return len(a.free)+len(b.free) == 0 && a.learns == b.learns && reflect.DeepEqual(a.forAll(), b.forAll())
}

func (s *script) forAll() []rule {
	var found []rule
	for _, r := range s.rules {
		if r.anyPeer {
			found = append(found, r)
		}
	}
	return found
}

// settleRules looks again at the classes of changed rules, and returns the groups
// to flatten them for. A class whose order of rules is another than before is
// left to be looked at as a whole.
func (c *Compiler) settleRules() map[*class][]*group {
	todo := map[*class][]*group{}
	for k, matchers := range c.dirty.rules {
		if _, whole := c.dirty.classes[k]; whole {
			continue
		}
		pipelines, protocols := k.pipelines, k.protocols
		c.assemble(k)
		if slices.Equal(protocols, k.protocols) && slices.EqualFunc(pipelines, k.pipelines, sameFrame) {
			todo[k] = c.groupsWith(k, matchers)
		} else {
			c.dirty.classes[k] = struct{}{}
		}
	}
	return todo
}

// sameFrame tells whether the policies of two pipelines stand at the same places.
func sameFrame(a, b *pipeline) bool {
	return slices.Equal(a.stages, b.stages) && maps.EqualFunc(a.at, b.at, slices.Equal[[]spot])
}

// groupsWith are the groups whose answer depends on some matchers: those that
// satisfy one, and those whose wider group does, from which they differ.
func (c *Compiler) groupsWith(k *class, matchers touched) []*group {
	found := map[*group]struct{}{}
	wide := false
	for m := range matchers {
		maps.Copy(found, m.groups)
		wide = wide || m.wide
	}
	groups := slices.Collect(maps.Keys(found))
	if !wide {
		return groups
	}
	below := func(g *group) {
		_, known := found[g]
		if _, is := found[g.wider]; is && !known {
			found[g] = struct{}{}
			groups = append(groups, g)
		}
	}
	for _, g := range c.groupsOf(k) {
		below(g)
	}
	for g := range k.rows { // for what the class named before, such as a port
		below(g)
	}
	return groups
}
