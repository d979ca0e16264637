package manifest

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// builder completes the loaded objects to a cluster.
type builder struct {
	*loader
	bundle *Bundle
	// seats are the pods that exist, with what is still to be decided.
	seats  []*seat
	byName map[cluster.Name]*seat
	// daemons are the DaemonSets' pods before there is a node for each.
	daemons   []*seat
	nodes     []*cluster.Node    // sorted by name
	nodeFrom  map[string]*object // what states a node's addresses
	ips       addressBook
	families  [2]bool // for which addresses are made up: IPv4, IPv6
	nodePorts nodePorts
}

func (l *loader) build() *Bundle {
	b := &builder{
		loader:   l,
		bundle:   &Bundle{Snapshot: cluster.NewSnapshot(), Policies: policy.NewSet(), Skipped: l.listSkipped()},
		byName:   map[cluster.Name]*seat{},
		nodeFrom: map[string]*object{},
		ips:      addressBook{owners: map[netip.Addr]string{}},
	}
	for _, o := range l.objects {
		b.bundle.Objects = append(b.bundle.Objects, o.Object)
		b.bundle.bodies = append(b.bundle.bodies, o.body)
	}
	for _, step := range [][]func(){
		{b.addNamespaces, b.addAccounts, b.addPolicies, b.addPods, b.addNodes, b.claimNodes, b.claimPods, b.readServices},
		{b.addDaemonPods, b.schedule},
		{b.assignAddresses, b.completeServices, b.addEndpoints, b.addNames},
	} {
		for _, do := range step {
			do()
		}
		if b.incomplete() {
			break // the next step would only repeat what is wrong
		}
	}
	return b.bundle
}

// of are the objects of one of the kinds that make up the cluster.
func (l *loader) of(name string) []*object {
	var found []*object
	for _, o := range l.objects {
		if o.Kind == name && o.kind.policy == nil {
			found = append(found, o)
		}
	}
	return found
}

// addNamespaces adds the declared namespaces, and those that something lies in:
// that proves that they exist.
func (b *builder) addNamespaces() {
	namespaces := b.bundle.Snapshot.Namespaces
	for _, o := range b.of("Namespace") {
		namespaces[o.Name] = k8s.Namespace(o.body.(*corev1.Namespace))
	}
	for _, o := range b.objects {
		if name := o.Namespace; name != "" && namespaces[name] == nil {
			namespaces[name] = k8s.Namespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
	}
}

func (b *builder) addAccounts() {
	for _, o := range b.of("ServiceAccount") {
		account := k8s.ServiceAccount(o.body.(*corev1.ServiceAccount))
		b.bundle.Snapshot.ServiceAccounts[account.Name] = account
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
