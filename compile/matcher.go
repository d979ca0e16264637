package compile

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// matcher is a question about an address on which some rule in use depends:
// whether a selector picks its pod, whether it lies in a block, what a port's
// name means there.
type matcher struct {
	serial uint32
	text   string
	wide   bool // apt to be satisfied by most of the cluster
	// One of these says what is asked; none of them, if blocks are marked with it.
	pods     *policy.PodSelector
	nodes    *policy.NodeSelector
	networks *policy.NetworkSelector
	services *served
	names    *policy.NameSelector
	net      netip.Prefix
	port     *portUse
	marked   []netip.Prefix // of networks, services and names

	rulesets map[*ruleset]struct{} // that name it
	groups   map[*group]struct{}   // alive, whose rows it decides
}

// portUse is a port's name that rules for egress use, with a matcher for each
// number that it stands for somewhere.
type portUse struct {
	name     portName
	rulesets map[*ruleset]struct{}
	numbers  map[uint16]*matcher
}

func (c *Compiler) newMatcher(text string) *matcher {
	c.serial++
	m := &matcher{
		serial: c.serial, text: text,
		rulesets: map[*ruleset]struct{}{}, groups: map[*group]struct{}{},
	}
	c.matchers[text] = m
	return m
}

// acquire is the matcher with a text, made by fill if it is new.
func (c *Compiler) acquire(text string, r *ruleset, fill func(*matcher)) *matcher {
	m, ok := c.matchers[text]
	if !ok {
		m = c.newMatcher(text)
		fill(m)
	}
	m.rulesets[r] = struct{}{}
	return m
}

// acquirePeer is the matcher of a peer with one field set and no exceptions.
func (w *writer) acquirePeer(p policy.Peer) *matcher {
	switch {
	case p.CIDR != nil:
		return w.acquireNet(p.CIDR.Prefix, w.ruleset)
	case p.Nodes != nil:
		return w.acquireNodes(p, w.ruleset)
	case p.Networks != nil:
		return w.acquireNetworks(p, w.ruleset)
	case p.Services != nil:
		return w.acquireServices(p)
	case p.Names != nil:
		return w.acquireNames(p, w.ruleset)
	}
	return w.acquirePods(p, w.ruleset)
}

func (c *Compiler) acquirePods(p policy.Peer, r *ruleset) *matcher {
	return c.acquire(p.String(), r, func(m *matcher) {
		m.pods, m.wide = p.Pods, widePods(p.Pods)
		c.selectors.add(m.pods, m)
		c.change(c.picked(m.pods), m, true)
	})
}

func (c *Compiler) acquireNet(p netip.Prefix, r *ruleset) *matcher {
	return c.acquire("net "+p.String(), r, func(m *matcher) {
		m.net, m.wide = p, wideBlock(p)
		c.nets.mark(p, m)
	})
}

func (c *Compiler) acquireList(text string, r *ruleset) *matcher {
	return c.acquire(text, r, func(*matcher) {})
}

// acquirePort makes groups tell what a port's name stands for.
func (c *Compiler) acquirePort(name portName, r *ruleset) {
	use, ok := c.ports[name]
	if !ok {
		use = &portUse{name: name, rulesets: map[*ruleset]struct{}{}, numbers: map[uint16]*matcher{}}
		c.ports[name] = use
		c.eachNumber(use, func(number uint16, pods []*pod) { c.change(pods, c.portMatcher(use, number), true) })
	}
	use.rulesets[r] = struct{}{}
}

// eachNumber visits the numbers that a port's name stands for, each with its
// pods.
func (c *Compiler) eachNumber(use *portUse, visit func(uint16, []*pod)) {
	byNumber := map[uint16][]*pod{}
	for _, e := range c.shelves.having(portTerm(use.name)) {
		numbers := e.pod.object.Resolve(use.name.name, use.name.protocol)
		slices.Sort(numbers)
		for _, n := range slices.Compact(numbers) {
			byNumber[n] = append(byNumber[n], e.pod)
		}
	}
	for n, pods := range byNumber {
		visit(n, pods)
	}
}

func (c *Compiler) portMatcher(use *portUse, number uint16) *matcher {
	m, ok := use.numbers[number]
	if !ok {
		m = c.newMatcher(portsText(use.name, []uint16{number}))
		m.port, m.rulesets = use, use.rulesets
		use.numbers[number] = m
	}
	return m
}

// appendPorts adds the matchers for the pod's named ports that rules use.
func (c *Compiler) appendPorts(to []*matcher, object *cluster.Pod) []*matcher {
	if len(c.ports) == 0 {
		return to
	}
	for _, port := range object.Ports {
		if use, ok := c.ports[portName{port.Name, port.Protocol}]; ok {
			to = append(to, c.portMatcher(use, port.Number))
		}
	}
	return to
}

// portsText says what a port's name stands for: "port http/TCP=8080,8443".
func portsText(name portName, numbers []uint16) string {
	var words []string
	for _, n := range numbers {
		words = append(words, strconv.Itoa(int(n)))
	}
	return "port " + name.name + "/" + name.protocol.String() + "=" + strings.Join(words, ",")
}

// retire forgets the matchers and port names that no rule uses any more.
func (c *Compiler) retire() {
	for m := range c.idle {
		if len(m.rulesets) == 0 {
			c.forgetMatcher(m)
		}
	}
	clear(c.idle)
	for name, use := range c.ports {
		if len(use.rulesets) > 0 {
			continue
		}
		c.eachNumber(use, func(number uint16, pods []*pod) { c.change(pods, use.numbers[number], false) })
		for _, m := range use.numbers {
			delete(c.matchers, m.text)
		}
		delete(c.ports, name)
	}
}

func (c *Compiler) forgetMatcher(m *matcher) {
	delete(c.matchers, m.text)
	switch {
	case m.pods != nil:
		c.selectors.remove(m.pods, m)
		c.change(c.picked(m.pods), m, false)
	case m.net.IsValid():
		c.nets.unmark(m.net, m)
	case m.nodes != nil:
		c.forgetNodes(m)
	case m.networks != nil:
		c.forgetNetworks(m)
	case m.services != nil:
		c.forgetServices(m)
	case m.names != nil:
		c.forgetNames(m)
	}
}

// picked are the pods that a selector picks, found from the side where there are
// fewer to look at.
func (c *Compiler) picked(s *policy.PodSelector) []*pod {
	terms, ok := exact(s.Pods)
	if ok {
		return c.pickedByTerm(s, terms)
	}
	var found []*pod
	for _, ns := range c.namespacesFor(s) {
		if ns.ruledOut(s) {
			continue
		}
		for _, p := range ns.pods {
			if s.Pods == nil || s.Pods.Matches(c.labels(p)) {
				found = append(found, p)
			}
		}
	}
	return found
}

func (c *Compiler) namespacesFor(s *policy.PodSelector) map[string]*namespace {
	if s.Namespace == "" {
		return c.namespaces
	}
	if ns, ok := c.namespaces[s.Namespace]; ok {
		return map[string]*namespace{s.Namespace: ns}
	}
	return nil
}

func (c *Compiler) pickedByTerm(s *policy.PodSelector, terms []term) []*pod {
	var found []*pod
	ruledOut := map[*namespace]bool{}
	keep := func(p *pod) {
		out, known := ruledOut[p.namespace]
		if !known {
			out = p.namespace.ruledOut(s)
			ruledOut[p.namespace] = out
		}
		if !out && s.Pods.Matches(c.labels(p)) {
			found = append(found, p)
		}
	}
	labelled := 0
	for _, t := range terms {
		labelled += len(c.shelves.having(t))
	}
	if ns, ok := c.namespaces[s.Namespace]; ok && len(ns.pods) < labelled {
		for _, p := range ns.pods {
			keep(p)
		}
		return found
	}
	for _, t := range terms {
		for _, e := range c.shelves.having(t) {
			keep(e.pod)
		}
	}
	return found
}
