package compile

import "github.com/bulkhead-dev/bulkhead/policy"

// labels are a pod's as selectors see them.
func (c *Compiler) labels(p *pod) *policy.Labels {
	return &policy.Labels{
		Own:       p.object.Labels,
		Namespace: policy.Origin{Name: p.object.Namespace, Labels: p.namespace.labels},
		Account:   policy.Origin{Name: p.object.ServiceAccount},
	}
}
