package agent

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/neighbour"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Status is what an agent says of its node.
type Status struct {
	Node    string    `json:"node"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	// Ready: all that the source told at first is in force. Until then the
	// tables of an earlier agent stand.
	Ready      bool `json:"ready"`
	NodeExists bool `json:"nodeExists"`
	// Mode is "enforce" or "audit"; namespaces may choose otherwise.
	Mode   string       `json:"mode"`
	Source SourceStatus `json:"source"`
	Kernel KernelState  `json:"kernel"`
	// Held is where pods that are not known yet are shut off.
	Held HeldStatus `json:"held"`
	// Sources is whether pods can send in each other's name.
	Sources SourceCheck `json:"sources"`
	// Runtime is the container runtime that tells of pods before they run;
	// empty: none does.
	Runtime string `json:"runtime,omitempty"`
	// Policies are all that the source has; those that select a pod of this
	// node are named with the pod.
	Policies int `json:"policies"`
	// Kinds are how many policies there are of each dialect and kind.
	Kinds  []PolicyKind `json:"policyKinds"`
	Pods   []PodStatus  `json:"pods"`
	Faults []OpenFault  `json:"faults"`
	// Problems are of the node itself.
	Problems []NodeProblem `json:"problems,omitempty"`
	// Neighbours are other policy engines that filter on this node.
	Neighbours []neighbour.Engine `json:"neighbours,omitempty"`
	// Refused: the agent does nothing because of them.
	Refused bool `json:"refused,omitempty"`
}

// PolicyKind is how many policies of a kind there are; objects of several policies
// count as many.
type PolicyKind struct {
	Dialect string `json:"dialect"`
	Kind    string `json:"kind"`
	Count   int    `json:"count"`
}

// kindsOf counts policies, sorted by dialect and kind.
func kindsOf[V any](policies map[policy.Ref]V) []PolicyKind {
	counts := map[policy.Ref]int{} // by what all of a kind share
	for ref := range policies {
		counts[policy.Ref{Dialect: ref.Dialect, Kind: ref.Kind}]++
	}
	kinds := make([]PolicyKind, 0, len(counts))
	for _, ref := range slices.SortedFunc(maps.Keys(counts), policy.Ref.Compare) {
		kinds = append(kinds, PolicyKind{ref.Dialect.String(), ref.Kind, counts[ref]})
	}
	return kinds
}

// PodStatus is how a pod of this node is protected.
type PodStatus struct {
	Pod       string       `json:"pod"` // "namespace/name"
	Addresses []netip.Addr `json:"addresses"`
	Ingress   Protection   `json:"ingress"`
	Egress    Protection   `json:"egress"`
	// Since is when the tables got the pod's present policies; nil: they have
	// none for it. An agent that took tables over counts from its start.
	Since *time.Time `json:"since,omitempty"`
}

// Protection is one direction of a pod.
type Protection struct {
	Isolated bool `json:"isolated"`
	// Audited: what the policies deny is noted and let through.
	Audited  bool     `json:"audited,omitempty"`
	Policies []string `json:"policies,omitempty"`
}

// Status asks the agent. It waits for the engine at most as long as the context
// lasts; without an answer the pods' policies are missing.
func (a *Agent) Status(ctx context.Context) (Status, error) {
	status := Status{
		Node: a.options.Node, Version: a.options.Version, Started: a.started,
		Source: a.options.Source.Status(), Kernel: a.kernel.State(), Faults: a.faults.list(),
	}
	status.Problems = a.health.get()
	status.Held, status.Sources = a.heldStatus(), a.sourceStatus()
	status.Runtime = a.runtimeStatus()
	status.Neighbours, status.Refused = a.company.get()
	a.mu.Lock()
	status.Mode = modeOf(a.audit)
	status.Ready, status.NodeExists, status.Policies = a.ready, a.known.own != nil, len(a.known.policies)
	status.Kinds = kindsOf(a.known.policies)
	local := slices.SortedFunc(maps.Values(a.known.local), func(x, y *cluster.Pod) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name.Name, y.Name.Name))
	})
	a.mu.Unlock()
	status.Pods = make([]PodStatus, 0, len(local))
	if !status.Ready {
		for _, pod := range local {
			status.Pods = append(status.Pods, PodStatus{Pod: pod.Name.String(), Addresses: pod.Addrs})
		}
		return status, nil
	}
	err := a.view(ctx, func(p *plan.Plan) {
		for _, pod := range local {
			status.Pods = append(status.Pods, a.podStatus(p, pod))
		}
	})
	return status, err
}

// view reads the plan that is asked for. It is for a time after Ready.
func (a *Agent) view(ctx context.Context, f func(*plan.Plan)) error {
	a.mu.Lock()
	e := a.engine
	a.mu.Unlock()
	return e.View(ctx, f)
}

func modeOf(audit bool) string {
	if audit {
		return cluster.ModeAudit
	}
	return cluster.ModeEnforce
}

func (a *Agent) podStatus(p *plan.Plan, pod *cluster.Pod) PodStatus {
	status := PodStatus{Pod: pod.Name.String(), Addresses: pod.Addrs}
	for _, addr := range pod.Addrs {
		l, ok := a.kernel.local(addr)
		if !ok {
			continue
		}
		status.Ingress.add(p.Classes[l.Ingress])
		status.Egress.add(p.Classes[l.Egress])
		if status.Since == nil || l.since.After(*status.Since) {
			status.Since = &l.since
		}
	}
	return status
}

func (p *Protection) add(class *plan.Class) {
	if class == nil {
		return
	}
	p.Isolated = true
	p.Audited = class.Audit
	p.Policies = append(p.Policies, class.Policies...)
	slices.Sort(p.Policies)
	p.Policies = slices.Compact(p.Policies)
}
