package agent

import (
	"context"
	"slices"
	"sync"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
)

// NodeProblem is something about the node that keeps policies from being
// enforced, or may.
type NodeProblem struct {
	Name  string `json:"name"`
	Fatal bool   `json:"fatal"` // policies are not enforced, wholly or in part
	Text  string `json:"text"`
}

// health is the node's problems.
type health struct {
	mu       sync.Mutex
	problems []NodeProblem
}

func (h *health) get() []NodeProblem {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.problems
}

// set returns those that are new, and those that are over.
func (h *health) set(now []NodeProblem) (news, over []NodeProblem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	without := func(list, others []NodeProblem) []NodeProblem {
		return slices.DeleteFunc(slices.Clone(list), func(p NodeProblem) bool {
			return slices.ContainsFunc(others, func(o NodeProblem) bool { return o.Name == p.Name && o.Fatal == p.Fatal })
		})
	}
	news, over = without(now, h.problems), without(h.problems, now)
	h.problems = now
	return news, over
}

// examine looks at the node and tells of what is new.
func (a *Agent) examine(ctx context.Context) {
	if a.options.Check == nil {
		return
	}
	found, err := a.options.Check(ctx)
	if err != nil {
		if ctx.Err() == nil {
			a.log.Warn("could not look at the node", "error", err)
		}
		return
	}
	now := make([]NodeProblem, 0, len(found))
	for _, p := range found {
		now = append(now, NodeProblem(p))
	}
	news, over := a.health.set(now)
	for _, p := range news {
		a.log.Error("node has a problem", "problem", p.Name, "policies-not-enforced", p.Fatal, "text", p.Text)
		if a.options.Warn != nil {
			a.options.Warn(kube.Warning{
				Object: kube.Object{APIVersion: "v1", Kind: "Node", Name: cluster.Name{Name: a.options.Node}},
				Reason: "NodeProblem", Action: "Enforce", Note: nft.Problem(p).String(),
			})
		}
	}
	for _, p := range over {
		a.log.Info("node's problem is over", "problem", p.Name)
	}
}
