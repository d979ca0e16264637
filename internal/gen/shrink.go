package gen

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Shrink takes as much out of a world as it can while fails still says that it
// fails: policies, their directions, rules, peers and ports, pods with their
// labels and ports, namespaces and nodes. The world itself stays as it is.
func Shrink(w *World, fails func(*World) bool) *World {
	for {
		smaller := w.smaller(fails)
		if smaller == nil {
			return w
		}
		w = smaller
	}
}

// smaller is the first world with something less that still fails; nil if there
// is none.
func (w *World) smaller(fails func(*World) bool) *World {
	for _, c := range w.reductions() {
		reduced := w.Clone()
		c(reduced)
		if fails(reduced) {
			return reduced
		}
	}
	return nil
}

// reductions are all single steps to a smaller world, the largest first.
func (w *World) reductions() []Change {
	var all []Change
	for _, p := range w.Set.Sorted() {
		all = append(all, func(t Target) { t.DeletePolicy(p.Ref) })
	}
	for _, p := range w.pods() {
		all = append(all, deletePod(p))
	}
	for ref := range w.Set.Networks {
		all = append(all, func(t Target) { t.DeleteNetworks(ref) })
	}
	for selector := range w.Set.Learned {
		all = append(all, func(t Target) { t.SetLearned(selector, nil) })
	}
	for ref := range w.Set.Hosts {
		all = append(all, func(t Target) { t.DeleteHost(ref) })
	}
	for name := range w.Snapshot.ServiceAccounts {
		all = append(all, func(t Target) { t.DeleteServiceAccount(name) })
	}
	for name := range w.Snapshot.Endpoints {
		all = append(all, func(t Target) { t.DeleteEndpoints(name) })
	}
	for name := range w.Snapshot.Namespaces {
		all = append(all, func(t Target) { t.DeleteNamespace(name) })
	}
	for name := range w.Snapshot.Nodes {
		all = append(all, func(t Target) { t.DeleteNode(name) })
	}
	for _, p := range w.Set.Sorted() {
		for _, q := range lessOfPolicy(p) {
			all = append(all, setPolicy(q))
		}
	}
	for _, p := range w.pods() {
		for _, q := range lessOfPod(p) {
			all = append(all, setPod(q))
		}
	}
	return all
}

func lessOfPolicy(p *policy.Policy) []*policy.Policy {
	var all []*policy.Policy
	with := func(change func(*policy.Policy)) {
		q := *p
		change(&q)
		all = append(all, &q)
	}
	if p.Subject.Pods != nil {
		with(func(q *policy.Policy) { q.Subject.Pods = nil })
	}
	if p.Ingress != nil {
		with(func(q *policy.Policy) { q.Ingress = nil })
	}
	if p.Egress != nil {
		with(func(q *policy.Policy) { q.Egress = nil })
	}
	for _, rules := range lessOfRules(p.Ingress) {
		with(func(q *policy.Policy) { q.Ingress = rules })
	}
	for _, rules := range lessOfRules(p.Egress) {
		with(func(q *policy.Policy) { q.Egress = rules })
	}
	return all
}

func lessOfRules(rules *policy.Rules) []*policy.Rules {
	if rules == nil {
		return nil
	}
	var all []*policy.Rules
	for i, rule := range rules.Rules {
		without := *rules
		without.Rules = slices.Delete(slices.Clone(rules.Rules), i, i+1)
		all = append(all, &without)
		for _, less := range lessOfRule(rule) {
			with := *rules
			with.Rules = slices.Clone(rules.Rules)
			with.Rules[i] = less
			all = append(all, &with)
		}
	}
	return all
}

func lessOfRule(rule policy.Rule) []policy.Rule {
	var all []policy.Rule
	for i, peer := range rule.Peers {
		if len(rule.Peers) > 1 {
			r := rule
			r.Peers = slices.Delete(slices.Clone(rule.Peers), i, i+1)
			all = append(all, r)
		}
		for _, less := range lessOfPeer(peer) {
			r := rule
			r.Peers = slices.Clone(rule.Peers)
			r.Peers[i] = less
			all = append(all, r)
		}
		if peer.CIDR != nil && len(peer.CIDR.Except) > 0 {
			r := rule
			r.Peers = slices.Clone(rule.Peers)
			r.Peers[i].CIDR = &policy.CIDR{Prefix: peer.CIDR.Prefix, Except: peer.CIDR.Except[1:]}
			all = append(all, r)
		}
	}
	if len(rule.Self) > 0 {
		r := rule
		r.Self = nil
		all = append(all, r)
	}
	if len(rule.NotPorts) > 0 {
		r := rule
		r.NotPorts = nil
		all = append(all, r)
	}
	for i := range rule.Ports {
		if len(rule.Ports) > 1 {
			r := rule
			r.Ports = slices.Delete(slices.Clone(rule.Ports), i, i+1)
			all = append(all, r)
		}
	}
	return all
}

func lessOfPeer(p policy.Peer) []policy.Peer {
	var all []policy.Peer
	for i := range p.And {
		q := p
		q.And = slices.Delete(slices.Clone(p.And), i, i+1)
		all = append(all, q)
	}
	for i := range p.Not {
		q := p
		q.Not = slices.Delete(slices.Clone(p.Not), i, i+1)
		all = append(all, q)
	}
	return all
}

func lessOfPod(p *cluster.Pod) []*cluster.Pod {
	var all []*cluster.Pod
	for key := range p.Labels {
		q := *p
		q.Labels = map[string]string{}
		for k, v := range p.Labels {
			if k != key {
				q.Labels[k] = v
			}
		}
		all = append(all, &q)
	}
	for i := range p.Ports {
		q := *p
		q.Ports = slices.Delete(slices.Clone(p.Ports), i, i+1)
		all = append(all, &q)
	}
	for i := range p.Addrs {
		if !p.HostNetwork {
			q := *p
			q.Addrs = slices.Delete(slices.Clone(p.Addrs), i, i+1)
			all = append(all, &q)
		}
	}
	return all
}
