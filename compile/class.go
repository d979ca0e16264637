package compile

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// class is what local addresses with the same policies in a direction share.
type class struct {
	key       string
	direction traffic.Direction
	sides     []*side // one, but for an address that several local pods claim
	refs      int     // addresses and doors
	grants    bool    // of plan.Class
	id        plan.ClassID
	alive     bool

	pipelines []*pipeline // of each side
	protocols []traffic.Protocol
	filters   *filters
	any       answer
	anyRows   []row
	rows      map[*group][]row
}

func (c *class) digest() [sha256.Size]byte { return sha256.Sum256([]byte(c.key)) }

// classify finds the classes of an address anew.
func (c *Compiler) classify(a *address) {
	egress, ingress := c.classOf(a, traffic.Egress), c.classOf(a, traffic.Ingress)
	c.holdClass(egress, 1)
	c.holdClass(ingress, 1)
	c.holdClass(a.egress, -1)
	c.holdClass(a.ingress, -1)
	a.egress, a.ingress = egress, ingress
}

// classOf is the class of an address's local claimants; nil if no policy selects
// any of them.
func (c *Compiler) classOf(a *address, d traffic.Direction) *class {
	bySide := map[string]*side{}
	for _, p := range a.owners {
		if p.local == nil {
			continue
		}
		if s := p.side(a, d); s != nil {
			bySide[s.key] = s
		}
	}
	if len(bySide) == 0 {
		return nil
	}
	return c.classOfSides(slices.Collect(maps.Values(bySide)), d, false)
}

// classOfSides is the class of sides that must all allow; nil if there are none.
func (c *Compiler) classOfSides(sides []*side, d traffic.Direction, grants bool) *class {
	if len(sides) == 0 {
		return nil
	}
	slices.SortFunc(sides, func(a, b *side) int { return strings.Compare(a.key, b.key) })
	keys := make([]string, len(sides))
	for i, s := range sides {
		keys[i] = s.key
	}
	key := d.String() + "\n" + strings.Join(keys, "or\n")
	if grants {
		key = "grants\n" + key
	}
	found, ok := c.classes[key]
	if !ok {
		found = &class{key: key, direction: d, grants: grants, sides: sides, filters: c.filters, rows: map[*group][]row{}}
		c.classes[key] = found
	}
	return found
}

func (c *Compiler) holdClass(k *class, n int) {
	if k != nil {
		k.refs += n
		c.stirredCls[k] = struct{}{}
	}
}

// settleClassLives lets classes begin, then end, so that what both need stays.
func (c *Compiler) settleClassLives() {
	for k := range c.stirredCls {
		if k.refs > 0 && !k.alive {
			c.beginClass(k)
		}
	}
	for k := range c.stirredCls {
		if k.refs == 0 {
			c.endClass(k)
		}
	}
	clear(c.stirredCls)
	for k, id := range c.classNames.settle() {
		if k.id != 0 {
			c.out.deleteClass(k.id)
			k.forgetRows()
			for p := range c.locals {
				c.touch(p)
			}
		}
		k.id = id
		c.dirty.classes[k] = struct{}{}
	}
}

func (c *Compiler) beginClass(k *class) {
	k.alive = true
	c.classNames.add(k)
	for _, s := range k.sides {
		for _, r := range s.policies {
			rules := r.ruleset(k.direction)
			if *rules == nil {
				*rules = &ruleset{record: r, direction: k.direction, classes: map[*class]struct{}{}}
				c.fill(*rules)
			}
			(*rules).classes[k] = struct{}{}
		}
	}
}

func (c *Compiler) endClass(k *class) {
	delete(c.classes, k.key)
	delete(c.dirty.classes, k)
	delete(c.dirty.rules, k)
	if !k.alive {
		return
	}
	k.alive = false
	c.classNames.remove(k)
	c.out.deleteClass(k.id)
	k.forgetRows()
	for _, s := range k.sides {
		for _, r := range s.policies {
			c.releaseRuleset(r.ruleset(k.direction), k)
		}
	}
}

// forgetRows is for a class whose rows are out of the plan.
func (c *class) forgetRows() {
	for g, rows := range c.rows {
		delete(g.classes, c)
		c.filters.release(rows)
	}
	c.filters.release(c.anyRows)
	c.anyRows, c.rows = nil, map[*group][]row{}
}

func (c *Compiler) releaseRuleset(rules **ruleset, k *class) {
	if *rules == nil {
		return // two sides of the class had the policy
	}
	delete((*rules).classes, k)
	if len((*rules).classes) == 0 {
		old := (*rules).script
		(*rules).script = script{}
		delete(c.portRules, *rules)
		c.giveBack(*rules, old)
		*rules = nil
	}
}

// policies are the names of the class's policies, for people.
func (c *class) policies() []string {
	var names []string
	for _, s := range c.sides {
		for _, r := range s.policies {
			names = append(names, r.Ref.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// audit: one claimant of an address that is to be enforced is enough.
func (c *class) audit() bool {
	return !slices.ContainsFunc(c.sides, func(s *side) bool { return !s.audit })
}

// assemble puts the class's policies into the order in which they are asked.
func (c *Compiler) assemble(k *class) {
	k.pipelines = nil
	protocols := map[traffic.Protocol]struct{}{}
	for _, s := range k.sides {
		k.pipelines = append(k.pipelines, c.pipeline(s, k.direction))
		for _, r := range s.policies {
			maps.Copy(protocols, (*r.ruleset(k.direction)).protocols)
		}
	}
	k.protocols = slices.Sorted(maps.Keys(protocols))
	k.any = k.answer(nil)
}

// pipeline is the tiers that a connection passes, with their policies.
type pipeline struct {
	stages []stage
	at     map[*ruleset][]spot // one, or one in each lane of a tier
	any    []place             // the rules for any peer
	free   []tally             // the clauses that any peer may satisfy
	side   *side
	asks   bool // some rule asks for content
	byName bool // some rule picks its peers by name
}

// stage is a tier's part, or one of two lanes of it; what no rule decides meets
// the end, which is Pass for a tier that does not isolate.
type stage struct {
	end   policy.Action
	joint bool // the next stage is the tier's other lane
}

// spot is where a policy's rules stand in a pipeline.
type spot struct {
	stage, order int32
	deny         int32 // the order of rules that deny
}

// place is a place of a rule, by the policy's number for it, in a pipeline.
type place struct {
	stage, order, rule int32
	is                 *rule
}

func (c *Compiler) pipeline(s *side, d traffic.Direction) *pipeline {
	if s.host != nil {
		return c.hostPipeline(s, d)
	}
	p := &pipeline{at: map[*ruleset][]spot{}, side: s}
	policies := slices.Clone(s.policies)
	slices.SortStableFunc(policies, c.compare)
	c.addTiers(p, policies, d, 0)
	return p
}

// addTiers adds policies, which are in their order, to a pipeline and returns the
// next order. It is not complete where a tier does not exist: nothing comes after.
func (c *Compiler) addTiers(p *pipeline, policies []*record, d traffic.Direction, order int32) (next int32, complete bool) {
	for len(policies) > 0 {
		n := 1
		for n < len(policies) && policies[n].Tier == policies[0].Tier {
			n++
		}
		tier, exists := c.tiers[policies[0].Tier]
		if !exists {
			p.stages = append(p.stages, stage{end: policy.Deny})
			return order, false
		}
		lanes := lanesOf(policies[:n])
		policies = policies[n:]
		for i, l := range lanes {
			end := l.end(tier, d)
			if p.side.host != nil && p.side.host.early {
				end = policy.Pass
			}
			p.stages = append(p.stages, stage{end, i < len(lanes)-1})
			order = p.add(l, d, order)
		}
	}
	return order, true
}

// placeOf is the place of a policy's tier; tiers that do not exist are last.
func (c *Compiler) placeOf(r *record) int {
	if at, ok := c.tierPlace[r.Tier]; ok {
		return at
	}
	return len(c.tierPlace)
}

func (c *Compiler) compare(a, b *record) int {
	if x, y := c.placeOf(a), c.placeOf(b); x != y {
		return x - y
	}
	return policy.Compare(a.Policy, b.Policy)
}

// add puts the policies of a lane at the pipeline's end and returns the next
// order.
func (p *pipeline) add(l lane, d traffic.Direction, order int32) int32 {
	denies := order
	if l.union {
		order += int32(len(l.policies)) // behind what denies
	}
	for i, r := range l.policies {
		rules := *r.ruleset(d)
		at := spot{stage: int32(len(p.stages) - 1), order: order + int32(i), deny: denies + int32(i)}
		if len(p.at[rules]) == 0 {
			for _, c := range rules.free {
				p.free = append(p.free, tally{rules: rules, clause: c})
			}
		}
		p.asks, p.byName = p.asks || rules.asks, p.byName || rules.byName
		p.at[rules] = append(p.at[rules], at)
		for n := range rules.rules {
			if rules.rules[n].anyPeer && !p.side.isWithout(r, int32(n)) {
				p.any = append(p.any, at.of(rules, int32(n)))
			}
		}
	}
	return order + int32(len(l.policies))
}

// of is a rule's place.
func (s spot) of(r *ruleset, n int32) place {
	at := place{stage: s.stage, order: s.order, rule: r.rules[n].n, is: &r.rules[n]}
	if at.is.action == policy.Deny {
		at.order = s.deny
	}
	return at
}

// appendPlaces adds a rule at its places in the pipeline.
func (p *pipeline) appendPlaces(to []place, r *ruleset, n int32) []place {
	if p.side.isWithout(r.record, r.rules[n].n) {
		return to
	}
	for _, s := range p.at[r] {
		to = append(to, s.of(r, n))
	}
	return to
}
