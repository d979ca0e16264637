package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/compile"
)

// sharedAfter is how long an address must have several claimants before their
// owners are told. One pod after another may have it, and the API hear of the
// second before the first is gone.
const sharedAfter = 10 * time.Second

// disputes are the addresses of this node's pods that others claim too.
type disputes struct {
	mu     sync.Mutex
	claims map[netip.Addr]dispute
	told   map[cluster.Name]bool // pods that have the fault
}

type dispute struct {
	compile.Claim
	since time.Time
}

// disputed takes in whose claims have changed. It is called by the engine.
func (a *Agent) disputed(news map[netip.Addr]compile.Claim) {
	now, after := time.Now(), a.options.SharedAfter
	if after == 0 {
		after = sharedAfter
	}
	a.disputes.mu.Lock()
	defer a.disputes.mu.Unlock()
	for addr, claim := range news {
		if len(claim.Pods) == 0 {
			delete(a.disputes.claims, addr)
			continue
		}
		since := now
		if before, was := a.disputes.claims[addr]; was {
			since = before.since
		}
		a.disputes.claims[addr] = dispute{claim, since}
	}
	time.AfterFunc(after, func() { a.tellDisputes(after) })
}

// tellDisputes tells the owners of this node's pods of disputes that last, and of
// those that are over.
func (a *Agent) tellDisputes(after time.Duration) {
	now := time.Now()
	faults := map[cluster.Name]field.ErrorList{}
	a.disputes.mu.Lock()
	for name := range a.disputes.told {
		faults[name] = nil
		delete(a.disputes.told, name)
	}
	for addr, d := range a.disputes.claims {
		if now.Sub(d.since) < after {
			continue
		}
		for _, name := range d.Pods {
			if a.isLocal(name) {
				faults[name] = append(faults[name], d.fault(addr, name))
				a.disputes.told[name] = true
			}
		}
	}
	a.disputes.mu.Unlock()
	for name, errs := range faults {
		slices.SortFunc(errs, func(x, y *field.Error) int { return strings.Compare(x.Error(), y.Error()) })
		a.faults.note(Fault{
			Object: kube.Object{APIVersion: "v1", Kind: "Pod", Name: name}, Reason: AddressShared, Errs: errs,
		}, now)
	}
}

func (a *Agent) isLocal(name cluster.Name) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, local := a.known.local[name]
	return local
}

// fault is the dispute as one of the pods sees it.
func (d dispute) fault(addr netip.Addr, own cluster.Name) *field.Error {
	var others []string
	for _, p := range d.Pods {
		if p != own {
			others = append(others, "pod "+p.String())
		}
	}
	for _, n := range d.Nodes {
		others = append(others, "node "+n)
	}
	return field.Invalid(field.NewPath("status", "podIPs"), addr.String(),
		fmt.Sprintf("claimed by %s too; delete the one that does not have it", strings.Join(others, ", ")))
}
