package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

// Beside is what an agent does on a node where another policy engine filters.
// Its zero value is BesideRefuse.
type Beside uint8

// The choices.
const (
	// BesideRefuse waits until the other engine is gone.
	BesideRefuse Beside = iota
	// BesideAudit audits, but for namespaces that choose to be enforced.
	BesideAudit
	// BesideEnforce does as if it were alone: what either denies is denied.
	BesideEnforce
)

var besides = []string{"refuse", "audit", "enforce"}

// String is "refuse", "audit" or "enforce".
func (b Beside) String() string {
	if int(b) < len(besides) {
		return besides[b]
	}
	return fmt.Sprintf("Beside(%d)", uint8(b))
}

// Set reads what String writes; with String and Type it makes a Beside a flag.
func (b *Beside) Set(s string) error {
	i := slices.Index(besides, s)
	if i < 0 {
		return fmt.Errorf("unknown choice %q: use %s", s, strings.Join(besides, ", "))
	}
	*b = Beside(i)
	return nil
}

// Type is the name of the flag's value in help.
func (b *Beside) Type() string { return strings.Join(besides, "|") }

// company is the other engines on the node.
type company struct {
	mu      sync.Mutex
	engines []neighbour.Engine
	refused bool // the agent waits for them to go
}

func (c *company) get() (engines []neighbour.Engine, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.engines, c.refused
}

// set tells whether the engines are others than before.
func (c *company) set(engines []neighbour.Engine, refused bool) (news bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news = namesOf(engines) != namesOf(c.engines)
	c.engines, c.refused = engines, refused
	return news
}

func namesOf(engines []neighbour.Engine) string {
	var names []string
	for _, e := range engines {
		names = append(names, e.Name)
	}
	return strings.Join(names, ", ")
}

// The pauses between two looks.
const (
	lookAgain        = time.Minute
	lookWhileRefused = 10 * time.Second
)

// mayBegin waits until the agent may begin, and tells whether it is to audit.
func (a *Agent) mayBegin(ctx context.Context) (audit bool, err error) {
	for {
		others, ours := a.look()
		switch {
		case len(others) == 0 || a.options.Beside == BesideEnforce:
			a.meet(others, false, "what either of the two denies is denied")
			return a.options.Audit, nil
		case a.options.Beside == BesideAudit:
			a.meet(others, false, "this agent audits only, but for namespaces labelled "+cluster.ModeLabel+"="+cluster.ModeEnforce)
			return true, nil
		case ours:
			// Our tables would go stale if we did not go on.
			a.meet(others, false, "this agent enforces already and goes on: what either of the two denies is denied")
			return a.options.Audit, nil
		}
		a.meet(others, true, "this agent waits for it to go and does nothing: remove it with the rules that it left (a reboot does that), or choose --beside")
		if err := pause(ctx, a.options.LookAgain, lookWhileRefused); err != nil {
			return false, err
		}
	}
}

func (a *Agent) keepLooking(ctx context.Context) {
	for pause(ctx, a.options.LookAgain, lookAgain) == nil {
		others, _ := a.look()
		a.meet(others, false, "what either of the two denies is denied")
		a.examine(ctx)
	}
}

// look returns the engines that filter on this node, and whether our own tables
// are in force.
func (a *Agent) look() (others []neighbour.Engine, ours bool) {
	if a.options.Look == nil {
		return nil, false
	}
	evidence, err := a.options.Look()
	if err != nil {
		a.log.Warn("could not look for all other policy engines", "error", err)
	}
	others = slices.DeleteFunc(neighbour.Recognise(evidence), func(e neighbour.Engine) bool { return !e.InKernel })
	return others, slices.Contains(evidence.Tables, nft.TableName)
}

// meet remembers the other engines and tells of them once.
func (a *Agent) meet(others []neighbour.Engine, refused bool, so string) {
	if news := a.company.set(others, refused); !news {
		return
	}
	if len(others) == 0 {
		a.log.Info("no other policy engine is on this node any more")
		return
	}
	for _, e := range others {
		a.log.Error("another policy engine filters on this node", "engine", e.Name, "because", strings.Join(e.Because, ", "), "so", so)
		if a.options.Warn == nil {
			continue
		}
		a.options.Warn(kube.Warning{
			Object: kube.Object{APIVersion: "v1", Kind: "Node", Name: cluster.Name{Name: a.options.Node}},
			Reason: "OtherPolicyEngine", Action: "Enforce", Note: e.String() + " filters on this node: " + so,
		})
	}
}

func pause(ctx context.Context, chosen, otherwise time.Duration) error {
	if chosen == 0 {
		chosen = otherwise
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(chosen):
		return nil
	}
}
