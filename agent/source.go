package agent

import (
	"context"
	"net/netip"
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
		len(b.Accounts)+len(b.Tiers)+len(b.Networks)+len(b.Services)+len(b.Faults) == 0
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
	Errs   field.ErrorList // none: nothing is wrong any more
}

// Text is the errors as one sentence.
func (f Fault) Text() string {
	if len(f.Errs) == 0 {
		return ""
	}
	return f.Errs.ToAggregate().Error()
}
