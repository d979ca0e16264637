package verdict

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Evaluator judges connections of one cluster under one set of policies. Which
// policies select a pod is worked out when the pod is first met.
type Evaluator struct {
	snapshot *cluster.Snapshot
	tiers    []tier
	subjects sync.Map // *cluster.Pod -> *subject
	nodes    map[netip.Addr]*cluster.Node
	networks []policy.Member
	services map[netip.Addr][]*cluster.Endpoints

	hosts        map[string][]*policy.Host // by node
	nodePolicies bool                      // some policy picks nodes
	asksSelf     bool                      // one on hosts asks something of its own end
	failsafes    policy.Failsafes
	keepers      sync.Map // door -> *doorkeeper
	learned      policy.Learned
}

// tier is a tier's policies by the namespace that their subjects are in; the
// empty name has those that look at all namespaces.
type tier struct {
	policy.Tier
	missing     bool // the set does not have it
	names       names
	byNamespace map[string][]*policy.Policy
}

// subject is a pod with the stages that its connections pass.
type subject struct {
	ingress, egress []stage
}

// stage is what a tier has for one pod and direction: at least one policy, in
// the order of evaluation. Where Cilium's policies meet others in a tier, it has
// two stages, the lanes of which both must allow.
type stage struct {
	tier     policy.Tier
	policies []*policy.Policy
	isolates bool // one of the policies does
	union    bool // any rule that denies comes before all others
	missing  bool // the tier does not exist: it denies, and its rules are not asked
	content       // what the policies ask of the content of connections
	names    names
}

// New prepares an evaluator. Tiers that policies name and the set does not have
// come last, and deny.
func New(snapshot *cluster.Snapshot, set *policy.Set) *Evaluator {
	e := &Evaluator{
		snapshot: snapshot, nodes: nodesByAddr(snapshot), services: servicesByAddr(snapshot),
		hosts: hostsByNode(set), failsafes: set.OpenPorts(), learned: set.Learned,
	}
	for _, n := range set.Networks {
		e.networks = append(e.networks, policy.Member{Networks: n, Labels: &policy.Labels{Own: n.Labels, Namespace: e.namespace(n.Namespace)}})
	}
	index, names := map[string]tier{}, namesOf(set.Policies)
	for _, t := range set.SortedTiers() {
		entry := tier{Tier: t, names: names, byNamespace: map[string][]*policy.Policy{}}
		index[t.Name] = entry
		e.tiers = append(e.tiers, entry)
	}
	for _, name := range missingTiers(set) {
		entry := tier{Tier: policy.Tier{Name: name, Order: math.Inf(1)}, missing: true, names: names, byNamespace: map[string][]*policy.Policy{}}
		index[name] = entry
		e.tiers = append(e.tiers, entry)
	}
	for _, p := range set.Policies {
		namespaces := index[p.Tier].byNamespace
		namespaces[p.Subject.Namespace] = append(namespaces[p.Subject.Namespace], p)
		if p.Hosts != nil {
			e.nodePolicies = e.nodePolicies || p.Hosts.Nodes
			e.asksSelf = e.asksSelf || p.AsksSelf(traffic.Ingress) || p.AsksSelf(traffic.Egress)
		}
	}
	return e
}

// missingTiers are the names, sorted, of tiers that policies name and that do not
// exist, or not yet: nobody knows when to ask their rules.
func missingTiers(set *policy.Set) []string {
	missing := map[string]bool{}
	for _, p := range set.Policies {
		if _, ok := set.Tiers[p.Tier]; !ok {
			missing[p.Tier] = true
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

// Evaluate judges a connection and says why.
func (e *Evaluator) Evaluate(c Connection) Result {
	result := Result{
		Egress:  e.explain(c, traffic.Egress),
		Ingress: e.explain(c, traffic.Ingress),
		Forward: e.explainForward(c),
	}
	result.Verdict = result.Egress.Verdict.And(result.Ingress.Verdict)
	if slices.ContainsFunc(result.Forward, func(f ForwardDecision) bool { return f.Verdict == traffic.Deny }) {
		result.Verdict = traffic.Deny
	}
	return result
}

// Verdict judges a connection without the reason.
func (e *Evaluator) Verdict(c Connection) traffic.Verdict {
	both := traffic.Allow
	for _, d := range []traffic.Direction{traffic.Egress, traffic.Ingress} {
		if both = both.And(e.decide(c, d, nil).verdict); both == traffic.Deny {
			return traffic.Deny
		}
		for _, at := range e.doors(c, d) {
			if e.pass(c, at, nil).verdict == traffic.Deny {
				return traffic.Deny
			}
		}
	}
	return both
}

// stages are what a connection of the pod passes in a direction.
func (e *Evaluator) stages(pod *cluster.Pod, d traffic.Direction) []stage {
	known, ok := e.subjects.Load(pod)
	if !ok {
		known, _ = e.subjects.LoadOrStore(pod, &subject{
			ingress: e.prepare(pod, traffic.Ingress),
			egress:  e.prepare(pod, traffic.Egress),
		})
	}
	if d == traffic.Ingress {
		return known.(*subject).ingress
	}
	return known.(*subject).egress
}

func (e *Evaluator) prepare(pod *cluster.Pod, d traffic.Direction) []stage {
	labels := e.labels(pod)
	var stages []stage
	for _, t := range e.tiers {
		var policies []*policy.Policy
		for _, p := range slices.Concat(t.byNamespace[pod.Namespace], t.byNamespace[""]) {
			if p.In(d) != nil && p.Subject.Matches(pod, labels) {
				policies = append(policies, p)
			}
		}
		slices.SortFunc(policies, policy.Compare)
		stages = append(stages, stagesOf(t, policies, d)...)
	}
	return stages
}

// stagesOf are the stages that a tier has for those of its policies that protect
// one thing.
func stagesOf(t tier, policies []*policy.Policy, d traffic.Direction) []stage {
	stages := split(t.Tier, policies, d)
	if t.missing && len(policies) > 0 {
		stages = []stage{{tier: t.Tier, policies: policies, isolates: true, missing: true}}
	}
	for i := range stages {
		stages[i].names = t.names
	}
	return stages
}

// split makes the stages of a tier's policies. Cilium adds its policies up with
// NetworkPolicies; others are asked in their order, NetworkPolicies among them.
func split(t policy.Tier, policies []*policy.Policy, d traffic.Direction) []stage {
	ordered, union := stage{tier: t}, stage{tier: t, union: true}
	for _, p := range policies {
		isolates := p.In(d).Isolates
		if p.Dialect != policy.Cilium {
			ordered.policies = append(ordered.policies, p)
			ordered.isolates = ordered.isolates || isolates
			ordered.content = ordered.content.or(contentOf(p, d))
		}
		if p.Dialect == policy.Cilium || p.Dialect == policy.Kubernetes {
			union.policies = append(union.policies, p)
			union.isolates = union.isolates || isolates
			union.content = union.content.or(contentOf(p, d))
		}
	}
	is := func(d policy.Dialect) func(*policy.Policy) bool {
		return func(p *policy.Policy) bool { return p.Dialect == d }
	}
	var stages []stage
	cilium := slices.ContainsFunc(policies, is(policy.Cilium))
	if len(ordered.policies) > 0 && (!cilium || !all(ordered.policies, is(policy.Kubernetes))) {
		stages = append(stages, ordered)
	}
	if cilium {
		stages = append(stages, union)
	}
	return stages
}

func all(policies []*policy.Policy, is func(*policy.Policy) bool) bool {
	return !slices.ContainsFunc(policies, func(p *policy.Policy) bool { return !is(p) })
}
