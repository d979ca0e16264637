package agent

import (
	"context"
	"maps"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Source is where an agent learns what exists. Next is called by one goroutine.
type Source interface {
	// Run reads until the context ends. An error that comes back with the
	// context still alive means that the source is of no use any more.
	Run(ctx context.Context) error
	// Next waits for changes. The first batch is everything that exists and
	// comes once all of it is known; each later one is what changed since.
	Next(ctx context.Context) (Batch, error)
	// PodAt is a pod that has the address, for people who read logs; any
	// goroutine may ask.
	PodAt(addr netip.Addr) (cluster.Name, bool)
	// Status is how the source stands; any goroutine may ask.
	Status() SourceStatus
}

// Batch is changes; nil stands for an object that is gone.
type Batch struct {
	Namespaces map[string]*cluster.Namespace
	Pods       map[cluster.Name]*cluster.Pod
	Nodes      map[string]*cluster.Node
	Policies   map[policy.Ref]*policy.Policy
	// What policies refer to.
	Accounts map[cluster.Name]*cluster.ServiceAccount
	Tiers    map[string]*policy.Tier
	Networks map[policy.Ref]*policy.Networks
	Hosts    map[policy.Ref]*policy.Host         // that policies protect
	Services map[cluster.Name]*cluster.Endpoints // where they lead
	// Faults are the objects that came or changed with something wrong in
	// them, and without an error those that have nothing wrong any more.
	Faults []Fault
	// Since is when the first of the changes was known here.
	Since time.Time
}

// Empty tells whether nothing changed.
func (b *Batch) Empty() bool {
	return len(b.Namespaces)+len(b.Pods)+len(b.Nodes)+len(b.Policies)+
		len(b.Accounts)+len(b.Tiers)+len(b.Networks)+len(b.Hosts)+len(b.Services)+len(b.Faults) == 0
}

// SourceStatus is how a source stands.
type SourceStatus struct {
	// Name is an API server's URL or a folder.
	Name   string `json:"name"`
	Synced bool   `json:"synced"`
	// Tables are the resources of an API server; none for a folder.
	Tables []kube.State `json:"resources,omitempty"`
	// Failed is why the source's present state is not the one enforced; empty:
	// it is.
	Failed string `json:"failed,omitempty"`
}

// Reason is what is wrong with an object, in a word.
type Reason string

// The reasons.
const (
	// NotEnforced: nobody can tell which pods a policy protects.
	NotEnforced Reason = "PolicyNotEnforced"
	// PartlyEnforced: a policy isolates its pods, but something in its rules
	// was not understood and allows nothing.
	PartlyEnforced Reason = "PolicyPartlyEnforced"
	// NotSupported: a part of a policy is understood and not enforced.
	NotSupported Reason = "PolicyPartNotSupported"
	// NotUnderstood: a field of another object was not understood and counts
	// as absent.
	NotUnderstood Reason = "ObjectNotUnderstood"
	// AddressShared: more than one running pod claims an address.
	AddressShared Reason = "AddressShared"
)

// Fault is what is wrong with one object.
type Fault struct {
	Object kube.Object
	Reason Reason
	Errs   field.ErrorList
	// Gaps are what is not enforced. Without them and Errs nothing is wrong any
	// more.
	Gaps []policy.Gap
}

// Text is the errors and gaps as one sentence.
func (f Fault) Text() string {
	var all []string
	if len(f.Errs) > 0 {
		all = append(all, f.Errs.ToAggregate().Error())
	}
	for _, gap := range f.Gaps {
		all = append(all, gap.String())
	}
	return strings.Join(all, "; ")
}

// merge puts later changes in.
func (b *Batch) merge(later Batch) {
	mergeMaps(&b.Namespaces, later.Namespaces)
	mergeMaps(&b.Pods, later.Pods)
	mergeMaps(&b.Nodes, later.Nodes)
	mergeMaps(&b.Policies, later.Policies)
	mergeMaps(&b.Accounts, later.Accounts)
	mergeMaps(&b.Tiers, later.Tiers)
	mergeMaps(&b.Networks, later.Networks)
	mergeMaps(&b.Hosts, later.Hosts)
	mergeMaps(&b.Services, later.Services)
	b.Faults = append(b.Faults, later.Faults...)
	if b.Since.IsZero() {
		b.Since = later.Since
	}
}

func mergeMaps[K comparable, V any](into *map[K]*V, from map[K]*V) {
	if *into == nil {
		*into = from
		return
	}
	maps.Copy(*into, from)
}
