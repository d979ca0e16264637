package compile

import (
	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// labels are a pod's as selectors see them.
func (c *Compiler) labels(p *pod) *policy.Labels {
	l := &policy.Labels{Own: p.object.Labels, Namespace: policy.Origin{Name: p.namespace.name, Labels: p.namespace.labels}}
	l.Account.Name = p.object.ServiceAccount
	if a, ok := c.accounts[cluster.Name{Namespace: p.object.Namespace, Name: p.object.ServiceAccount}]; ok {
		l.Account.Labels = a.Labels
	}
	return l
}

// originOf is a namespace, whether it is declared or not.
func (c *Compiler) originOf(name string) policy.Origin {
	if ns, ok := c.namespaces[name]; ok {
		return policy.Origin{Name: name, Labels: ns.labels}
	}
	return policy.Origin{Name: name, Labels: undeclared(name)}
}

func (c *Compiler) settleAccounts() {
	for name, object := range c.pending.accounts {
		if object == nil {
			delete(c.accounts, name)
		} else {
			c.accounts[name] = object
		}
		ns, ok := c.namespaces[name.Namespace]
		if !ok {
			continue
		}
		for _, p := range ns.pods {
			if p.object.ServiceAccount == name.Name {
				c.match(p)
			}
		}
	}
}
