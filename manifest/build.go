package manifest

import (
	"maps"
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/policy/k8s"
)

// builder completes the loaded objects to a cluster.
type builder struct {
	*loader
	bundle *Bundle
	// seats are the pods that exist, with what is still to be decided.
	seats  []*seat
	byName map[cluster.Name]*seat
	nodes  []*cluster.Node // sorted by name
	ips    addressBook
}

func (l *loader) build() *Bundle {
	b := &builder{
		loader: l,
		bundle: &Bundle{Snapshot: cluster.NewSnapshot(), Policies: policy.NewSet(), Skipped: l.listSkipped()},
		byName: map[cluster.Name]*seat{},
		ips:    addressBook{owners: map[netip.Addr]string{}},
	}
	for _, o := range l.objects {
		b.bundle.Objects = append(b.bundle.Objects, o.Object)
	}
	b.addNamespaces()
	b.addPolicies()
	b.addPods()
	b.addNodes()
	b.addDaemonPods()
	b.schedule()
	b.assignAddresses()
	b.addServices()
	b.addUsedNamespaces()
	return b.bundle
}

// of are the objects of a kind.
func (l *loader) of(kind string) []*object {
	var found []*object
	for _, o := range l.objects {
		if o.Kind == kind {
			found = append(found, o)
		}
	}
	return found
}

func (b *builder) addNamespaces() {
	for _, o := range b.of("Namespace") {
		b.addNamespace(o.Name, o.body.(*namespaceBody).Metadata.Labels)
	}
}

// addNamespace sets the name label whatever the object says, as the API server
// does.
func (b *builder) addNamespace(name string, labels map[string]string) {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[cluster.NamespaceNameLabel] = name
	b.bundle.Snapshot.Namespaces[name] = &cluster.Namespace{Name: name, Labels: labels}
}

// addUsedNamespaces: what lies in a namespace proves that it exists.
func (b *builder) addUsedNamespaces() {
	for _, o := range b.objects {
		if _, ok := b.bundle.Snapshot.Namespaces[o.Namespace]; !ok && o.Namespace != "" {
			b.addNamespace(o.Namespace, nil)
		}
	}
}

func (b *builder) addPolicies() {
	for _, o := range b.of(k8s.Kind) {
		object := o.body.(*networkingv1.NetworkPolicy)
		object.Namespace = o.Namespace
		p, errs := k8s.Read(object)
		b.failFields(o, errs)
		if len(errs) == 0 {
			p.Source = o.Source
			b.bundle.Policies.Add(p)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
