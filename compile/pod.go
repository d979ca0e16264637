package compile

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// pod is a pod on the pod network. Those on their node's network do not exist
// here: they are their node.
type pod struct {
	object    *cluster.Pod
	namespace *namespace
	place     int // in namespace.pods
	set       *set
	slots     []slot
	addrs     []*address
	local     *local // nil unless it runs on this node
}

// local is what a pod of this node is subject to.
type local struct {
	policies        []*record
	egress, ingress []*side // at each of the pod's addresses; nil: open
}

// side is what a local pod's policies are at one of its addresses.
func (p *pod) side(at *address, d traffic.Direction) *side {
	sides := p.local.egress
	if d == traffic.Ingress {
		sides = p.local.ingress
	}
	if i := slices.Index(p.addrs, at); i < len(sides) {
		return sides[i]
	}
	return nil // not looked at yet
}

func (c *Compiler) settlePods() {
	for name, object := range c.pending.pods {
		old, had := c.pods[name]
		if object == nil || object.HostNetwork {
			if had {
				c.removePod(old)
			}
			continue
		}
		if had && alike(old.object, object) {
			old.object = object
			continue
		}
		if had {
			c.removePod(old)
		}
		c.addPod(object)
	}
}

// alike tells whether two versions of a pod are the same to every policy.
func alike(a, b *cluster.Pod) bool {
	return a.Node == b.Node && a.ServiceAccount == b.ServiceAccount && maps.Equal(a.Labels, b.Labels) &&
		slices.Equal(a.Addrs, b.Addrs) && slices.Equal(a.Ports, b.Ports)
}

func (c *Compiler) addPod(object *cluster.Pod) {
	p := &pod{object: object}
	c.namespace(object.Namespace).add(p)
	c.pods[object.Name] = p
	c.shelves.add(p)
	c.addresses.claim(p)
	if object.Node == c.node {
		p.local = &local{}
		c.locals[p] = struct{}{}
	}
	c.match(p)
}

func (c *Compiler) removePod(p *pod) {
	c.touch(p)
	c.addresses.disclaim(p)
	c.dropSet(p.set)
	c.shelves.remove(p)
	delete(c.locals, p)
	delete(c.dirty.locals, p)
	delete(c.pods, p.object.Name)
	p.namespace.remove(p)
	c.forget(p.namespace)
}

// match finds the pod's matchers and policies from scratch.
func (c *Compiler) match(p *pod) {
	var found []*matcher
	have := c.labels(p)
	keep := func(m *matcher) {
		if m.pods.Matches(p.object, have) {
			found = append(found, m)
		}
	}
	c.selectors.candidates(p.object, keep)
	for _, m := range c.wideMatchers(p.namespace) {
		if m.pods.Pods == nil || m.pods.Pods.Matches(have) {
			found = append(found, m)
		}
	}
	found = c.appendPorts(found, p.object)
	c.assign(p, found)
	c.touch(p)
	if p.local != nil {
		c.dirty.locals[p] = struct{}{}
	}
}

// touch marks all that hangs on a pod's matchers and policies.
func (c *Compiler) touch(p *pod) {
	for _, a := range p.addrs {
		c.dirty.address(a)
		if p.local != nil {
			c.dirty.localAddrs[a] = struct{}{}
		}
	}
}

// addrsOf are valid addresses as packets carry them, each once.
func addrsOf(addrs []netip.Addr) []netip.Addr {
	plain := func(i int) bool {
		a := addrs[i]
		return a.IsValid() && !a.Is4In6() && a.Zone() == "" && !slices.Contains(addrs[:i], a)
	}
	for i := range addrs {
		if !plain(i) {
			return cleaned(addrs)
		}
	}
	return addrs
}

func cleaned(addrs []netip.Addr) []netip.Addr {
	var clean []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap().WithZone(""); a.IsValid() && !slices.Contains(clean, a) {
			clean = append(clean, a)
		}
	}
	return clean
}

// settleLocals finds the policies of the local pods that may have others now.
func (c *Compiler) settleLocals() {
	for p := range c.dirty.locals {
		p.local.policies = c.policiesOf(p)
		p.local.egress, p.local.ingress = nil, nil
		for _, a := range p.addrs {
			p.local.egress = append(p.local.egress, c.newSide(p, a, traffic.Egress))
			p.local.ingress = append(p.local.ingress, c.newSide(p, a, traffic.Ingress))
			c.dirty.localAddrs[a] = struct{}{}
		}
	}
	for a := range c.dirty.localAddrs {
		c.classify(a)
	}
}

func (c *Compiler) policiesOf(p *pod) []*record {
	var found []*record
	have := c.labels(p)
	keep := func(r *record) {
		if r.Subject.Matches(p.object, have) {
			found = append(found, r)
		}
	}
	c.subjects.candidates(p.object, keep)
	c.subjects.anywhere(keep)
	slices.SortFunc(found, func(a, b *record) int { return a.Ref.Compare(b.Ref) })
	return found
}
