package manifest

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// addEndpoints finds where the services lead that policies mention: to the pods
// that they select, and without a selector to what EndpointSlices say.
func (b *builder) addEndpoints() {
	listed := b.readSlices()
	mentioned := mentionedServices(b.bundle.Policies)
	if len(mentioned) == 0 {
		return
	}
	s := b.bundle.Snapshot
	add := func(e *cluster.Endpoints) {
		if slices.ContainsFunc(mentioned, func(m policy.ServiceSelector) bool { return m.Matches(e) }) {
			s.Endpoints[e.Name] = e
		}
	}
	for name, backends := range listed {
		add(cluster.NewEndpoints(name, nil, backends))
	}
	for name, service := range s.Services {
		add(cluster.NewEndpoints(name, service.Labels, listed[name]))
		if s.Endpoints[name] != nil && len(service.Selector) > 0 {
			s.Endpoints[name] = s.Selected(service)
		}
	}
}

func (b *builder) readSlices() map[cluster.Name][]cluster.Backend {
	listed := map[cluster.Name][]cluster.Backend{}
	for _, o := range b.of("EndpointSlice") {
		service, backends, errs := k8s.EndpointSlice(o.body.(*discoveryv1.EndpointSlice))
		b.failFields(o, "", errs)
		listed[service] = append(listed[service], backends...)
	}
	return listed
}

// mentionedServices are the services that enforced and staged policies speak of.
func mentionedServices(set *policy.Set) []policy.ServiceSelector {
	var found []policy.ServiceSelector
	var look func([]policy.Peer)
	look = func(peers []policy.Peer) {
		for _, p := range peers {
			if p.Services != nil {
				found = append(found, *p.Services)
			}
			look(p.And)
			look(p.Not)
		}
	}
	of := func(p *policy.Policy) {
		for _, rules := range []*policy.Rules{p.Ingress, p.Egress} {
			if rules != nil {
				for _, r := range rules.Rules {
					look(r.Peers)
				}
			}
		}
	}
	for _, p := range set.Policies {
		of(p)
	}
	for _, staged := range set.Staged {
		of(staged.Policy)
	}
	return found
}
