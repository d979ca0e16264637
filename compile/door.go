package compile

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// doors are the hosts of this node, and the classes of the policies on them. They
// are few, and are all made anew when anything that they depend on changes.
type doors struct {
	failsafes policy.Failsafes
	keep      []netip.AddrPort
	hosts     map[policy.Ref]*policy.Host // of this node
	policies  map[*record]struct{}        // that may protect hosts or nodes
	held      map[plan.Door]doorClasses
	first     map[policy.Action]*record // failsafe ports as policies, by their action
	dirty     bool
}

// doorClasses are the classes of a door, where plan.Host has their numbers.
type doorClasses [8]*class

func newDoors() *doors {
	d := &doors{
		hosts: map[policy.Ref]*policy.Host{}, policies: map[*record]struct{}{},
		held: map[plan.Door]doorClasses{}, first: map[policy.Action]*record{},
	}
	d.setFailsafes(policy.DefaultFailsafes())
	return d
}

func (d *doors) setFailsafes(f policy.Failsafes) {
	d.failsafes, d.dirty = f, true
	for _, action := range []policy.Action{policy.Allow, policy.Deny} {
		d.first[action] = &record{Policy: &policy.Policy{
			Ref:     policy.Ref{Kind: "Failsafe", Name: "failsafe ports"},
			Ingress: failsafeRules(f.Ingress, action), Egress: failsafeRules(f.Egress, action),
		}}
	}
}

// failsafeRules do something with the failsafe ports of a direction.
func failsafeRules(list []policy.Failsafe, action policy.Action) *policy.Rules {
	rules := &policy.Rules{}
	for _, f := range list {
		rule := policy.Rule{Action: action, AnyPeer: !f.Net.IsValid(), Ports: []policy.Port{{Protocol: f.Protocol, From: f.Port, To: f.Port}}}
		if f.Net.IsValid() {
			rule.Peers = []policy.Peer{blockPeer(f.Net)}
		}
		rules.Rules = append(rules.Rules, rule)
	}
	return rules
}

// Failsafes are the ports that policies on hosts do not close, in place of
// policy.DefaultFailsafes.
func (c *Compiler) Failsafes(f policy.Failsafes) { c.doors.setFailsafes(f) }

// Keep names TCP ports that the node itself reaches whatever policies on hosts
// say, as the API server's. It is for a compiler that was told nothing yet.
func (c *Compiler) Keep(to []netip.AddrPort) { c.doors.keep = to }

// SetHost adds a host or changes it.
func (c *Compiler) SetHost(h *policy.Host) { c.pending.hosts[h.Ref] = h }

// DeleteHost takes a host away.
func (c *Compiler) DeleteHost(ref policy.Ref) { c.pending.hosts[ref] = nil }

// settleHosts follows the hosts of this node.
func (c *Compiler) settleHosts() {
	for ref, h := range c.pending.hosts {
		if _, had := c.doors.hosts[ref]; had {
			delete(c.doors.hosts, ref)
			c.doors.dirty = true
		}
		if h != nil && h.Node == c.node {
			c.doors.hosts[ref] = h
			c.doors.dirty = true
		}
	}
	_, changed := c.pending.nodes[c.node]
	c.doors.dirty = c.doors.dirty || changed || len(c.pending.tiers)+len(c.pending.networks)+len(c.pending.namespaces) > 0
}

// settleHostPolicy is for a policy that came, changed or goes.
func (c *Compiler) settleHostPolicy(r *record, gone bool) {
	_, had := c.doors.policies[r]
	delete(c.doors.policies, r)
	if has := !gone && r.Hosts != nil; has {
		c.doors.policies[r] = struct{}{}
		c.doors.dirty = true
	}
	c.doors.dirty = c.doors.dirty || had
	if r.blind != nil {
		r.blind.Policy = blindOf(r.Policy)
		c.rewrite(r.blind)
	}
}

// settleDoors finds the node's doors and their classes anew.
func (c *Compiler) settleDoors() {
	if !c.doors.dirty {
		return
	}
	c.doors.dirty = false
	now := map[plan.Door]doorClasses{}
	asked := false
	for _, at := range c.doorsOfNode() {
		classes := c.doorClasses(at)
		asked = asked || classes != doorClasses{}
		if at.door.Device != plan.AllDevices || classes != (doorClasses{}) {
			now[at.door] = classes
		}
	}
	if !asked {
		clear(now)
	}
	for _, classes := range now {
		c.holdClasses(classes, 1)
	}
	for _, classes := range c.doors.held {
		c.holdClasses(classes, -1)
	}
	c.doors.held = now
}

func (c *Compiler) holdClasses(classes doorClasses, n int) {
	for _, k := range classes {
		c.holdClass(k, n)
	}
}

// doorway is a door with the host that it belongs to.
type doorway struct {
	door plan.Door
	host *policy.Host // nil: none; only policies on nodes are asked
}

// doorsOfNode are the doors that policies concern: those of each device with a
// host, in the order in which policy.HostOf chooses, and that of all devices. The
// node's own addresses have doors of their own where rules ask for them.
func (c *Compiler) doorsOfNode() []doorway {
	hosts := make([]*policy.Host, 0, len(c.doors.hosts))
	for _, h := range c.doors.hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b *policy.Host) int { return strings.Compare(a.Name, b.Name) })
	if len(hosts) == 0 && !c.onNode() {
		return nil
	}
	taken := map[plan.Door]struct{}{}
	var found []doorway
	add := func(h *policy.Host, device string, addr netip.Addr) {
		d := plan.Door{Device: device, Addr: addr}
		if _, ok := taken[d]; !ok {
			taken[d] = struct{}{}
			found = append(found, doorway{d, h})
		}
	}
	for _, h := range hosts {
		for _, addr := range c.doorAddrs(h) {
			add(h, h.Device, addr)
		}
	}
	if !slices.ContainsFunc(hosts, func(h *policy.Host) bool { return h.Device == policy.AllDevices }) {
		for _, addr := range c.doorAddrs(nil) {
			add(nil, policy.AllDevices, addr)
		}
	}
	return found
}

// onNode tells whether a policy picks this node.
func (c *Compiler) onNode() bool {
	for r := range c.doors.policies {
		if r.Hosts.Nodes && c.protects(r, nil) {
			return true
		}
	}
	return false
}

// doorAddrs are the own addresses that a host has doors for.
func (c *Compiler) doorAddrs(h *policy.Host) []netip.Addr {
	addrs := []netip.Addr{{}}
	if h != nil && h.Device == "" {
		addrs = append(addrs, h.Addrs...)
	} else if c.asksSelf() {
		addrs = append(addrs, c.ownAddrs()...)
		if h != nil {
			addrs = append(addrs, h.Addrs...)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

func (c *Compiler) ownAddrs() []netip.Addr {
	if n, ok := c.nodes[c.node]; ok {
		return addrsOf(n.object.Addrs)
	}
	return nil
}

func (c *Compiler) asksSelf() bool {
	for r := range c.doors.policies {
		if r.AsksSelf(traffic.Ingress) || r.AsksSelf(traffic.Egress) {
			return true
		}
	}
	return false
}

// protects tells whether a policy protects a host, or the node itself.
func (c *Compiler) protects(r *record, h *policy.Host) bool {
	if r.Hosts.Nodes != (h == nil) {
		return false
	}
	labels := &policy.Labels{}
	if n, ok := c.nodes[c.node]; h == nil && ok {
		labels.Own = n.object.Labels
	} else if h != nil {
		labels.Own = h.Labels
	}
	return r.Hosts.Hosts == nil || r.Hosts.Hosts.Matches(labels)
}

// place is where on a packet's way a class of a door is asked.
type doorPlace struct {
	direction traffic.Direction
	forward   bool
	early     policy.Action // before translation: Deny refuses, Allow grants; Pass: behind it
}

// places are those of plan.Host's fields, in their order.
var doorPlaces = [8]doorPlace{
	{traffic.Ingress, false, policy.Pass}, {traffic.Egress, false, policy.Pass},
	{traffic.Ingress, true, policy.Pass}, {traffic.Egress, true, policy.Pass},
	{traffic.Ingress, false, policy.Deny}, {traffic.Ingress, false, policy.Allow},
	{traffic.Egress, false, policy.Deny}, {traffic.Egress, false, policy.Allow},
}

func (c *Compiler) doorClasses(at doorway) doorClasses {
	var classes doorClasses
	for i, place := range doorPlaces {
		if place.forward && at.door.Addr.IsValid() {
			continue // what is passed on has no end on the node
		}
		var sides []*side
		if at.host != nil {
			sides = append(sides, c.hostSide(at, at.host, place))
		}
		if place.early != policy.Pass && (at.host == nil || sides[0] == nil) {
			continue
		}
		if !place.forward && place.early != policy.Deny {
			// Those on nodes are asked behind translation, and before they let others
			// skip that.
			sides = append(sides, c.hostSide(at, nil, doorPlace{place.direction, false, policy.Pass}))
		}
		sides = slices.DeleteFunc(sides, func(s *side) bool { return s == nil })
		classes[i] = c.classOfSides(sides, place.direction, place.early == policy.Allow)
	}
	return classes
}

// hostSide is what protects a host at a place, or the node as a whole where host
// is nil; nil: nothing does.
func (c *Compiler) hostSide(at doorway, host *policy.Host, place doorPlace) *side {
	s := &side{audit: c.audit && place.early != policy.Allow, resolved: map[portName][]uint16{}, host: &hostPart{}}
	tracked := []policy.Stage{policy.Tracked}
	if place.early != policy.Pass {
		tracked = []policy.Stage{policy.Untracked, policy.PreTranslation}
	}
	own := c.ownEnd(at, host)
	for _, stage := range tracked {
		s.host.sections = append(s.host.sections, c.sectionOf(s, host, place, stage, own))
	}
	asked := slices.ContainsFunc(s.host.sections, func(policies []*record) bool { return len(policies) > 0 })
	s.host.early = place.early != policy.Pass
	s.host.closed = host != nil && !host.Open && !place.forward && !s.host.early || place.early == policy.Allow
	if !asked && (!s.host.closed || s.host.early) {
		return nil
	}
	if host != nil && !place.forward {
		s.host.first = c.doors.first[policy.Allow]
		if place.early == policy.Allow {
			s.host.first = c.doors.first[policy.Deny] // they skip the stage
		}
		s.policies = append(s.policies, s.host.first)
	}
	for _, section := range s.host.sections {
		for _, r := range section {
			if !slices.Contains(s.policies, r) {
				s.policies = append(s.policies, r)
			}
		}
	}
	s.key = c.hostKey(s, place)
	return s
}

// ownEnd is what rules ask of their own end at a door; nil if nobody knows.
func (c *Compiler) ownEnd(at doorway, host *policy.Host) *policy.End {
	n, ok := c.nodes[c.node]
	known := ok && slices.Contains(addrsOf(n.object.Addrs), at.door.Addr) || host != nil && slices.Contains(host.Addrs, at.door.Addr)
	if !known {
		return nil
	}
	end := &policy.End{Addr: at.door.Addr, Own: ok}
	if ok && slices.Contains(addrsOf(n.object.Addrs), at.door.Addr) {
		end.Node = n.object
	}
	for _, networks := range c.networks {
		if networks.Contains(at.door.Addr) {
			end.Networks = append(end.Networks, policy.Member{Networks: networks, Labels: c.networkLabels(networks)})
		}
	}
	return end
}

// sectionOf are the policies of a stage that protect a host at a place, those
// that ask for an end which is not known as they are for the blind.
func (c *Compiler) sectionOf(s *side, host *policy.Host, place doorPlace, stage policy.Stage, own *policy.End) []*record {
	var found []*record
	for r := range c.doors.policies {
		rules := r.In(place.direction)
		untrackable := stage == policy.Untracked && host != nil && host.Device == policy.AllDevices
		if rules == nil || r.Hosts.Stage != stage || place.forward && !r.Hosts.Forward || untrackable || !c.protects(r, host) {
			continue
		}
		if own == nil && r.AsksSelf(place.direction) {
			r = r.blinded()
		}
		found = append(found, r)
		if place.direction == traffic.Ingress && host != nil {
			s.resolveOn(host, rules)
		}
		for n, rule := range r.In(place.direction).Rules {
			if len(rule.Self) > 0 && !slices.ContainsFunc(rule.Self, func(p policy.Peer) bool { return p.Matches(own) }) {
				if s.without == nil {
					s.without = map[ruleOf]struct{}{}
				}
				s.without[ruleOf{r, int32(n)}] = struct{}{}
			}
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return cmp.Or(c.compare(a, b), a.Ref.Compare(b.Ref)) })
	return found
}

// blinded is the record of the policy for the blind.
func (r *record) blinded() *record {
	if r.blind == nil {
		r.blind = &record{Policy: blindOf(r.Policy)}
	}
	return r.blind
}

// blindOf is the policy for the blind, under a name of its own.
func blindOf(p *policy.Policy) *policy.Policy {
	blind := p.Blind()
	blind.Kind += " for the blind"
	return blind
}
