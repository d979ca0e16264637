package agent

import (
	"reflect"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// difference is what turns one bundle into another; nil is one with nothing in
// it.
func difference(old, new *manifest.Bundle) Batch {
	if old == nil {
		old = &manifest.Bundle{Snapshot: cluster.NewSnapshot(), Policies: policy.NewSet()}
	}
	return Batch{
		Namespaces: changed(old.Snapshot.Namespaces, new.Snapshot.Namespaces, sameValue),
		Pods:       changed(old.Snapshot.Pods, new.Snapshot.Pods, sameValue),
		Nodes:      changed(old.Snapshot.Nodes, new.Snapshot.Nodes, sameValue),
		Policies:   changed(old.Policies.Policies, new.Policies.Policies, sameRules),
		Accounts:   changed(old.Snapshot.ServiceAccounts, new.Snapshot.ServiceAccounts, sameValue),
		Services:   changed(old.Snapshot.Endpoints, new.Snapshot.Endpoints, sameValue),
		Tiers:      changed(pointers(old.Policies.Tiers), pointers(new.Policies.Tiers), sameValue),
		Networks:   changed(old.Policies.Networks, new.Policies.Networks, sameNetworks),
		Hosts:      changed(old.Policies.Hosts, new.Policies.Hosts, sameHost),
		Since:      time.Now(),
	}
}

func sameValue[V any](a, b *V) bool { return reflect.DeepEqual(a, b) }

// sameRules leaves out where a policy was written: a line more above it changes
// nothing.
func sameRules(a, b *policy.Policy) bool {
	x, y := *a, *b
	x.Source, y.Source = policy.Source{}, policy.Source{}
	return reflect.DeepEqual(x, y)
}

func sameNetworks(a, b *policy.Networks) bool {
	x, y := *a, *b
	x.Source, y.Source = policy.Source{}, policy.Source{}
	return reflect.DeepEqual(x, y)
}

func sameHost(a, b *policy.Host) bool {
	x, y := *a, *b
	x.Source, y.Source = policy.Source{}, policy.Source{}
	return reflect.DeepEqual(x, y)
}

func pointers[K comparable, V any](values map[K]V) map[K]*V {
	all := make(map[K]*V, len(values))
	for k, v := range values {
		all[k] = &v
	}
	return all
}

func changed[K comparable, V any](old, new map[K]*V, same func(a, b *V) bool) map[K]*V {
	changes := map[K]*V{}
	for key := range old {
		if _, still := new[key]; !still {
			changes[key] = nil
		}
	}
	for key, value := range new {
		if before, had := old[key]; !had || !same(before, value) {
			changes[key] = value
		}
	}
	return changes
}
