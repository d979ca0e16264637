package compile

import (
	"maps"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// namespace is one that is declared or has pods.
type namespace struct {
	name     string
	declared bool
	labels   map[string]string
	audit    bool   // what policies deny its pods is let through
	pods     []*pod // in no order; each knows its place
	// wide are the matchers anchored nowhere that do not mind the namespace, as
	// of a generation of the index.
	wide       []*matcher
	generation uint64
}

func undeclared(name string) map[string]string {
	return map[string]string{cluster.NamespaceNameLabel: name}
}

// namespace is the one of that name, made if need be.
func (c *Compiler) namespace(name string) *namespace {
	ns, ok := c.namespaces[name]
	if !ok {
		ns = &namespace{name: name, labels: undeclared(name), audit: c.audit}
		c.namespaces[name] = ns
	}
	return ns
}

func (c *Compiler) settleNamespaces() {
	relabelled := false
	for name, object := range c.pending.namespaces {
		ns := c.namespace(name)
		before := ns.labels
		if ns.declared = object != nil; ns.declared {
			ns.labels = object.Labels
		} else {
			ns.labels = undeclared(name)
		}
		if !maps.Equal(before, ns.labels) {
			ns.audit = c.auditOf(ns.labels)
			c.relabelled(ns)
			relabelled = true
		}
		c.forget(ns)
	}
	if relabelled {
		c.remarkNetworks()
	}
}

// auditOf is a namespace's own choice, or else the cluster's.
func (c *Compiler) auditOf(labels map[string]string) bool {
	switch labels[cluster.ModeLabel] {
	case cluster.ModeAudit:
		return true
	case cluster.ModeEnforce:
		return false
	}
	return c.audit
}

// relabelled looks anew at all pods of a namespace.
func (c *Compiler) relabelled(ns *namespace) {
	ns.wide = nil
	ns.generation = 0
	for _, p := range ns.pods {
		c.match(p)
	}
}

func (c *Compiler) forget(ns *namespace) {
	if !ns.declared && len(ns.pods) == 0 {
		delete(c.namespaces, ns.name)
	}
}

func (ns *namespace) add(p *pod) {
	p.namespace, p.place = ns, len(ns.pods)
	ns.pods = append(ns.pods, p)
}

func (ns *namespace) remove(p *pod) {
	last := ns.pods[len(ns.pods)-1]
	ns.pods[p.place], last.place = last, p.place
	ns.pods[len(ns.pods)-1] = nil
	ns.pods = ns.pods[:len(ns.pods)-1]
}

// ruledOut tells whether a selector picks no pod of the namespace, whatever its
// labels.
func (ns *namespace) ruledOut(s *policy.PodSelector) bool {
	return s.Namespace != "" && s.Namespace != ns.name ||
		s.Namespaces != nil && !s.Namespaces.Matches(labels.Set(ns.labels))
}

// wideMatchers are the matchers anchored nowhere whose namespace part fits.
func (c *Compiler) wideMatchers(ns *namespace) []*matcher {
	if ns.generation != c.selectors.generation {
		ns.wide = ns.wide[:0]
		c.selectors.anywhere(func(m *matcher) {
			if !ns.ruledOut(m.pods) {
				ns.wide = append(ns.wide, m)
			}
		})
		ns.generation = c.selectors.generation
	}
	return ns.wide
}
