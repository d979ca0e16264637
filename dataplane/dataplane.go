// Package dataplane is the contract between the engine and whatever enforces a
// plan: the kernel in package dataplane/nft, memory in tests.
package dataplane

import (
	"context"

	"github.com/bulkhead-dev/bulkhead/plan"
)

// Dataplane enforces one node's plan. Its methods are called by one goroutine
// at a time.
type Dataplane interface {
	// Apply makes the whole plan true, whatever was in force before, in one
	// atomic step that changes only what differs. It is idempotent.
	Apply(ctx context.Context, desired *plan.Plan) error
	// Update makes a diff true on top of the plan that Apply and Update left, in
	// one atomic step. desired is the plan with the diff in it; after an error
	// nothing has changed and the caller goes on with Apply.
	Update(ctx context.Context, diff plan.Diff, desired *plan.Plan) error
	// Close lets go of the kernel's handles and leaves enforcement in place.
	Close() error
}

// Watcher is a Dataplane that notices when somebody else changes what it put in
// force.
type Watcher interface {
	// Changed gets a value when Apply should be called again. Values that are
	// not taken are lost but for one.
	Changed() <-chan struct{}
}

// Doubter is a Dataplane that can leave off to trust LabelAllowed.
type Doubter interface {
	// Doubt with true has each packet judged by the plan, also those of
	// connections with LabelAllowed, until Doubt with false. It takes as long as a
	// small change, however many connections there are.
	Doubt(ctx context.Context, on bool) error
}

// Bits of a connection's conntrack label. Allowed is a cache of "allowed under
// the present policies": the tables accept a packet whose connection carries it.
// Cut marks a connection that Allowed was taken off while it lived. HTTP and DNS
// mark connections that go to the node's proxy, Proxy those that it opens itself
// with a pod's address. Host is to policies on hosts what Allowed is to those of
// pods.
const (
	LabelAllowed = 127
	LabelCut     = 126
	LabelHTTP    = 125
	LabelDNS     = 124
	LabelProxy   = 123
	LabelHost    = 122
)
