// Package convert writes policies in the words of another API, with the same
// meaning.
//
// It converts the policy model, not the text: what matters of an object is what
// the readers make of it. Whatever the other API cannot say is a Loss, named by
// the field that says it; a Result with losses is not all of the policies, and
// nothing in it is wider than what was read. Names and networks that only the
// snapshot knows are filled in from there, which is one of the Notes.
//
// A conversion is proved with Prove: what Read makes of the result gives the same
// answers as the policies that it was made from. The package is pure: it does no
// I/O, keeps no state and never changes its arguments, and may be used by several
// goroutines.
package convert

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Result is what became of policies.
type Result struct {
	// Objects are of the API that was asked for, in the order in which their
	// policies are asked; those that were of it before are not among them.
	Objects []metav1.Object
	// Losses are what could not be carried over.
	Losses []Loss
	// Notes are what a person should know of the conversion.
	Notes []string
}

// Loss is a field of a policy that has no counterpart.
type Loss struct {
	Policy policy.Ref
	Source policy.Source
	Field  string // the API path
	Reason string
}

// String is "file:line: Kind name: field: reason", without the line if it is not
// known.
func (l Loss) String() string {
	text := fmt.Sprintf("%s %s: %s: %s", l.Policy.Kind, l.Policy, l.Field, l.Reason)
	if l.Source.File != "" {
		text = fmt.Sprintf("%s:%d: %s", l.Source.File, l.Source.Line, text)
	}
	return text
}

// Convert writes the set's enforced policies in another dialect. The snapshot is
// the cluster that they are for; it may be empty.
func Convert(set *policy.Set, snapshot *cluster.Snapshot, to policy.Dialect) *Result {
	c := &converter{set: set, snapshot: snapshot, to: to, result: &Result{}, tiers: map[string]bool{}}
	write := map[policy.Dialect]func(*policy.Policy){
		policy.Kubernetes: c.kubernetes, policy.ClusterNetwork: c.clusterNetwork,
		policy.Calico: c.calico, policy.Cilium: c.cilium,
	}[to]
	for _, p := range c.sorted() {
		if p.Dialect == to {
			continue
		}
		for _, part := range c.parts(p) {
			c.from = part
			c.checkLanes()
			c.checkContent()
			write(part)
		}
	}
	return c.result
}

// converter converts one set.
type converter struct {
	set      *policy.Set
	snapshot *cluster.Snapshot
	to       policy.Dialect
	result   *Result
	tiers    map[string]bool // of Calico's that were written
	from     *policy.Policy  // that is being written
	own      string          // namespace of Calico's policy that is being written; empty: cluster-wide
}

// sorted are the policies by tier and order.
func (c *converter) sorted() []*policy.Policy {
	place := map[string]int{}
	for i, t := range c.set.SortedTiers() {
		place[t.Name] = i
	}
	all := c.set.Sorted()
	slices.SortStableFunc(all, func(a, b *policy.Policy) int { return cmp.Compare(place[a.Tier], place[b.Tier]) })
	return all
}

func (c *converter) add(o metav1.Object) { c.result.Objects = append(c.result.Objects, o) }

// lose always returns false, for use in return statements.
func (c *converter) lose(field, format string, args ...any) bool {
	l := Loss{Policy: c.from.Ref, Source: c.from.Source, Field: field, Reason: fmt.Sprintf(format, args...)}
	if !slices.Contains(c.result.Losses, l) {
		c.result.Losses = append(c.result.Losses, l)
	}
	return false
}

func (c *converter) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(c.result.Notes, text) {
		c.result.Notes = append(c.result.Notes, text)
	}
}

// denyTier is where Cilium's denials go in dialects that ask in order: just before
// NetworkPolicies.
var denyTier = policy.Tier{Name: "cilium-deny", Order: policy.NetworkPolicyTier.Order - 1, End: policy.Pass}

// parts are what a policy becomes: Cilium's denials, which come before what any
// policy allows, are one of their own where that is a matter of tiers.
func (c *converter) parts(p *policy.Policy) []*policy.Policy {
	isDeny := func(r policy.Rule) bool { return r.Action == policy.Deny }
	denies := func(r *policy.Rules) bool { return r != nil && slices.ContainsFunc(r.Rules, isDeny) }
	if p.Dialect != policy.Cilium || c.to != policy.Calico && c.to != policy.ClusterNetwork || !denies(p.Ingress) && !denies(p.Egress) {
		return []*policy.Policy{p}
	}
	tiers := maps.Clone(c.set.Tiers)
	tiers[denyTier.Name] = denyTier
	set := *c.set
	set.Tiers, c.set = tiers, &set
	deny, allow := *p, *p
	deny.Tier = denyTier.Name
	deny.Ingress, allow.Ingress = split(p.Ingress, isDeny)
	deny.Egress, allow.Egress = split(p.Egress, isDeny)
	if allow.Ingress == nil && allow.Egress == nil {
		return []*policy.Policy{&deny}
	}
	return []*policy.Policy{&deny, &allow}
}

// split parts rules; the first part isolates nobody, and what says nothing is nil.
func split(rules *policy.Rules, is func(policy.Rule) bool) (first, rest *policy.Rules) {
	if rules == nil {
		return nil, nil
	}
	first, rest = &policy.Rules{}, &policy.Rules{Isolates: rules.Isolates}
	for _, r := range rules.Rules {
		if is(r) {
			first.Rules = append(first.Rules, r)
		} else {
			rest.Rules = append(rest.Rules, r)
		}
	}
	if len(first.Rules) == 0 {
		first = nil
	}
	if len(rest.Rules) == 0 && !rest.Isolates {
		rest = nil
	}
	return first, rest
}

// checkLanes: where Calico's policies and Cilium's meet on a pod, both must allow.
// No single dialect says that.
func (c *converter) checkLanes() {
	inTier := func(d policy.Dialect) bool {
		return slices.ContainsFunc(c.set.Sorted(), func(p *policy.Policy) bool {
			return p.Dialect == d && p.Tier == policy.NetworkPolicyTier.Name
		})
	}
	if c.from.Tier == policy.NetworkPolicyTier.Name && inTier(policy.Calico) && inTier(policy.Cilium) {
		c.lose(c.subjectField(), "Calico's and Cilium's policies must both allow a connection, in one dialect one of them is enough: convert them apart")
	}
}

// checkContent names what is no matter of addresses and ports, and what we do not
// understand well enough to write it anew.
func (c *converter) checkContent() {
	for _, gap := range c.from.Gaps {
		c.lose(gap.Field, "%s", gap.Reason)
	}
	switch hosts := c.from.Hosts; {
	case hosts == nil:
	case hosts.Nodes || len(c.set.Hosts) > 0:
		c.lose(c.subjectField(), "a policy on nodes has no counterpart")
	default:
		c.note("%s %s is for hosts too, of which there is none here", c.from.Kind, c.from.Ref)
	}
	c.eachRule(func(d traffic.Direction, n int, r *policy.Rule) {
		if len(r.HTTP)+len(r.DNS) > 0 {
			c.lose(c.ruleField(d, n), "HTTP and DNS rules have no counterpart")
		}
		if len(r.Self) > 0 {
			c.lose(c.ruleField(d, n)+"."+c.selfField(d), "what a rule asks of the pod that the policy selects has no counterpart")
		}
	})
}

func (c *converter) eachRule(visit func(d traffic.Direction, n int, r *policy.Rule)) {
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		if rules := c.from.In(d); rules != nil {
			for n := range rules.Rules {
				visit(d, n, &rules.Rules[n])
			}
		}
	}
}
