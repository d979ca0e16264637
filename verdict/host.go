package verdict

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// door is where a connection enters or leaves a node, under policies on hosts: a
// host, or the node as a whole for policies that pick nodes. A connection must be
// allowed at each door that it passes.
type door struct {
	node      *cluster.Node
	host      *policy.Host // nil: the node as a whole
	direction traffic.Direction
	forward   bool       // the node passes the connection on
	fromPod   bool       // it comes from a pod of the node itself
	addr      netip.Addr // the node's own end; the zero value if the node passes it on
}

// doorkeeper is what policies on hosts make of a door.
type doorkeeper struct {
	early  [][]stage // before translation: what none decides goes on to late
	late   []stage
	closed bool // what no stage decides is denied
}

// side is where an end of a connection is.
type side struct {
	node    *cluster.Node // nil: on no node that is known
	process bool          // the node itself, otherwise a pod of it
}

// hosted tells whether there are policies on hosts at all.
func (e *Evaluator) hosted() bool { return len(e.hosts) > 0 || e.nodePolicies }

// sideOf finds the node of an endpoint. An address of a node's pod network is a
// pod's, whether the pod is known or not.
func (e *Evaluator) sideOf(at Endpoint) side {
	if name := at.Host(); name != "" {
		return side{e.snapshot.Nodes[name], true}
	}
	if pod := at.NetworkPod(); pod != nil {
		return side{e.snapshot.Nodes[pod.Node], false}
	}
	for _, n := range e.snapshot.Nodes {
		if slices.ContainsFunc(n.PodCIDRs, func(p netip.Prefix) bool { return p.Contains(at.Addr) }) {
			return side{n, false}
		}
	}
	return side{}
}

// doors are those that a connection passes in a direction: none between a node
// and itself, from a node to its own pods, and between pods of one node.
func (e *Evaluator) doors(c Connection, d traffic.Direction) []door {
	if !e.hosted() {
		return nil
	}
	from, to := e.sideOf(c.From), e.sideOf(c.To)
	own, other := from, to
	if d == traffic.Ingress {
		own, other = to, from
	}
	within := from.node != nil && from.node == to.node
	if own.node == nil || within && !(d == traffic.Ingress && to.process && !from.process) {
		return nil
	}
	at := door{node: own.node, direction: d, forward: !own.process, fromPod: within && !other.process}
	if own.process {
		at.addr = c.subject(d).Addr
	}
	var found []door
	if host := policy.HostOf(e.hosts[own.node.Name], at.addr, at.fromPod); host != nil {
		at.host = host
		found = append(found, at)
	}
	if at.host = nil; e.nodePolicies && own.process {
		found = append(found, at)
	}
	return found
}

// keeper is what a door's policies are, worked out once.
func (e *Evaluator) keeper(at door) *doorkeeper {
	blind := !e.knows(at)
	key := at
	if key.fromPod = false; blind || !e.asksSelf {
		key.addr = netip.Addr{}
	}
	if known, ok := e.keepers.Load(key); ok {
		return known.(*doorkeeper)
	}
	made := &doorkeeper{closed: at.host != nil && !at.host.Open && !at.forward}
	for _, stage := range []policy.Stage{policy.Untracked, policy.PreTranslation} {
		stages := e.stagesAt(at, stage, blind)
		for i := range stages {
			stages[i].isolates = false
		}
		made.early = append(made.early, stages)
	}
	made.late = e.stagesAt(at, policy.Tracked, blind)
	known, _ := e.keepers.LoadOrStore(key, made)
	return known.(*doorkeeper)
}

// knows tells whether what rules ask of their own end can be answered at a door.
func (e *Evaluator) knows(at door) bool {
	return slices.Contains(at.node.Addrs, at.addr) || at.host != nil && slices.Contains(at.host.Addrs, at.addr)
}

// stagesAt are the stages of a door's policies that are asked at one place.
func (e *Evaluator) stagesAt(at door, place policy.Stage, blind bool) []stage {
	var stages []stage
	for _, t := range e.tiers {
		var policies []*policy.Policy
		for _, p := range t.byNamespace[""] {
			if !at.isUnder(p, place) {
				continue
			}
			if blind {
				p = p.Blind()
			}
			policies = append(policies, p)
		}
		slices.SortFunc(policies, policy.Compare)
		stages = append(stages, stagesOf(t, policies, at.direction)...)
	}
	return stages
}

// isUnder tells whether a policy protects the door.
func (at door) isUnder(p *policy.Policy, place policy.Stage) bool {
	s := p.Hosts
	if s == nil || p.In(at.direction) == nil || s.Stage != place || s.Nodes != (at.host == nil) || at.forward && !s.Forward {
		return false
	}
	labels := at.node.Labels
	if at.host != nil {
		labels = at.host.Labels
		if place == policy.Untracked && at.host.Device == policy.AllDevices {
			return false // Calico has no untracked policies on all devices
		}
	}
	return s.Hosts == nil || s.Hosts.Matches(&policy.Labels{Own: labels})
}

// pass takes a connection through one door.
func (e *Evaluator) pass(c Connection, at door, trail *trail) finding {
	if f, decided := e.passEarly(c.asked(), at, trail); decided {
		return f
	}
	keeper := e.keeper(at)
	if at.host != nil && !at.forward && e.isFailsafe(c, at) {
		return finding{verdict: traffic.Allow, exemption: failsafe, door: &at}
	}
	if f, decided := e.passStages(c, at, keeper.late, trail); decided {
		return f
	}
	if keeper.closed {
		return finding{verdict: traffic.Deny, door: &at}
	}
	return finding{verdict: traffic.Allow, door: &at}
}

// passEarly asks the policies before translation, which have no say in what pods
// of the node send, in what the node passes on as it leaves, nor at failsafe ports. What they allow skips the others unless
// a policy on the node would deny it.
func (e *Evaluator) passEarly(asked Connection, at door, trail *trail) (finding, bool) {
	leaves := at.forward && at.direction == traffic.Egress
	if at.host == nil || at.fromPod || leaves || e.isFailsafe(asked, at) {
		return finding{}, false
	}
	if at.direction == traffic.Ingress {
		at.addr = asked.To.Addr
	}
	for _, stages := range e.keeper(at).early {
		if f, decided := e.passStages(asked, at, stages, trail); decided {
			return f, f.verdict == traffic.Deny || e.nodeAllows(asked, at)
		}
	}
	return finding{}, false
}

// nodeAllows is what policies on the node as a whole say of a connection.
func (e *Evaluator) nodeAllows(c Connection, at door) bool {
	at.host, at.forward = nil, false
	return !e.nodePolicies || e.pass(c, at, nil).verdict == traffic.Allow
}

// passStages asks a door's policies. Nobody looks at content there, so rules that
// ask for it do not match.
func (e *Evaluator) passStages(c Connection, at door, stages []stage, trail *trail) (finding, bool) {
	c.Request, c.Query = nil, ""
	q := e.questionAt(c, at)
	for len(stages) > 0 {
		lanes := lanesOf(stages)
		stages = stages[len(lanes):]
		if f, decided := q.askAll(lanes, trail); decided {
			f.door = &at
			return f, true
		}
	}
	return finding{}, false
}

func (e *Evaluator) isFailsafe(c Connection, at door) bool {
	other := c.other(at.direction).Addr
	return slices.ContainsFunc(e.failsafes.In(at.direction), func(f policy.Failsafe) bool { return f.Matches(c.Protocol, c.Port, other) })
}

// asked is the connection as it was before translation.
func (c Connection) asked() Connection {
	if c.Asked.IsValid() {
		c.To, c.Port = Endpoint{Addr: c.Asked.Addr()}, c.Asked.Port()
	}
	return c
}

// questionAt is a connection as the policies of a door see it.
func (e *Evaluator) questionAt(c Connection, at door) *question {
	q := e.question(c, at.direction)
	q.host = at.host
	for _, end := range []*policy.End{q.self, q.other} {
		end.Own = end.Node != nil && end.Node.Name == at.node.Name
	}
	return q
}

// hostsByNode are the hosts of each node, by name.
func hostsByNode(set *policy.Set) map[string][]*policy.Host {
	found := map[string][]*policy.Host{}
	for _, h := range set.Hosts {
		found[h.Node] = append(found[h.Node], h)
	}
	for _, hosts := range found {
		slices.SortFunc(hosts, func(a, b *policy.Host) int { return strings.Compare(a.Name, b.Name) })
	}
	return found
}
