// Package agent keeps one node of a cluster enforced: what a source says exists
// goes into the node's engine, and how that goes into logs, metrics, events and a
// status.
//
// Nothing reaches the kernel before the source has told all that exists, so a
// start neither opens nor closes anything; until then the tables of the agent
// before it stand. The end of an agent leaves the tables in force as well. A
// source that is lost changes nothing. One object with a fault in it never keeps
// others from being enforced.
//
// An Agent owns its engine. The caller opens and closes the dataplane and the
// connections around Run. Status, Ready, Alive and Handler are for any goroutine.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/dataplane"
	"github.com/bulkhead-dev/bulkhead/dataplane/nft"
	"github.com/bulkhead-dev/bulkhead/engine"
	"github.com/bulkhead-dev/bulkhead/neighbour"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/proxy"
)

// Options are what an agent works with.
type Options struct {
	Node        string
	Version     string // of the program, for the status
	Source      Source
	Dataplane   dataplane.Dataplane
	Connections engine.Connections // nil: live connections stay as they are
	Log         *slog.Logger
	// Warn tells the owner of an object what is wrong with it; false: it could
	// not be told. Nil: nobody is there to tell.
	Warn func(kube.Warning) bool
	// Audit lets through, and logs, what policies deny, but for namespaces that
	// choose otherwise.
	Audit bool
	// Failsafes stay open on hosts that policies protect; nil:
	// policy.DefaultFailsafes. Keep are TCP ports that this node reaches whatever
	// policies say: the API server's, or nobody could tell that one was mended.
	Failsafes *policy.Failsafes
	Keep      []netip.AddrPort
	// Denials are what audited policies would have denied; nil: nobody reads
	// them. The agent closes them.
	Denials Denials
	// Look gathers the evidence of other policy engines on this node, and
	// Beside is what to do if there is one. Nil: nobody looks.
	Look   func() (neighbour.Evidence, error)
	Beside Beside
	// Check looks for what keeps policies from being enforced on this node. Nil:
	// nobody looks.
	Check func(ctx context.Context) ([]nft.Problem, error)
	// Hold is what to do with addresses of pods that are not known yet.
	Hold Hold
	// Runtime is the container runtime, which knows of pods before the API does.
	Runtime Runtime
	// AnySource: the dataplane lets pods send from addresses not their own.
	AnySource bool
	// Proxies are opened when the engine is there, for policies that ask for the
	// content of connections. Nil: such connections are denied.
	// The agent fills in what they ask, and whom they tell.
	Proxies func(context.Context, proxy.Options) (io.Closer, error)
	// SharedAfter is how long an address must be claimed by several before their
	// owners are told; zero: ten seconds.
	SharedAfter time.Duration
	// LookAgain is how long to wait between two looks; zero: a minute, and ten
	// seconds while refusing.
	LookAgain time.Duration
	// RetryAfter is how long to wait after the kernel refused, or the proxies did
	// not open; zero: a second, and ten.
	RetryAfter time.Duration
}

// Agent is one node's agent.
type Agent struct {
	options   Options
	log       *slog.Logger
	started   time.Time
	kernel    *recorder
	faults    *faultBook
	metrics   *metrics
	inspected *inspection
	company   company
	holding   holding
	spoofed   sum
	early     early
	disputes  disputes
	health    health

	mu       sync.Mutex
	engine   *engine.Engine // nil until there is reason to enforce
	known    known
	audit    bool
	working  map[int]time.Time  // when the kernel was asked for what it has not done yet, by batch
	batches  int                // taken so far
	ready    bool               // the source's first batch is in force
	unproven map[policy.Ref]int // policies that are not known to be in force, by the batch that told them
}

// known is what the source told, as far as a status has it.
type known struct {
	local    map[cluster.Name]*cluster.Pod // pods of this node, as the engine has them
	told     map[cluster.Name]*cluster.Pod // the same as the source told them
	policies map[policy.Ref]time.Time      // since when they are in force; zero: not yet
	own      *cluster.Node                 // this node; nil: it does not exist
}

// New is an agent that does nothing yet.
func New(options Options) *Agent {
	a := &Agent{
		options:   options,
		log:       options.Log,
		started:   time.Now(),
		faults:    newFaultBook(options.Log, options.Warn),
		inspected: newInspection(),
		working:   map[int]time.Time{}, unproven: map[policy.Ref]int{},
		disputes: disputes{claims: map[netip.Addr]dispute{}, told: map[cluster.Name]bool{}},
		early:    early{addrs: map[cluster.Name][]netip.Addr{}, news: make(chan struct{})},
		known: known{
			local: map[cluster.Name]*cluster.Pod{}, told: map[cluster.Name]*cluster.Pod{}, policies: map[policy.Ref]time.Time{},
		},
	}
	a.metrics = newMetrics(a)
	a.kernel = newRecorder(options.Dataplane, options.Connections, a.metrics)
	return a
}

// begin starts the engine.
func (a *Agent) begin(audit bool) {
	var connections engine.Connections
	if a.options.Connections != nil {
		connections = a.kernel
	}
	e := engine.New(engine.Options{
		Node: a.options.Node, Dataplane: a.kernel, Connections: connections, Audit: audit,
		Failsafes: a.options.Failsafes, Keep: a.options.Keep,
		Log: a.log, RetryAfter: a.options.RetryAfter, Shared: a.disputed,
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.engine, a.audit = e, audit
}

// Run enforces until the context ends, and then leaves the kernel as it is.
func (a *Agent) Run(ctx context.Context) error {
	audit, err := a.mayBegin(ctx)
	if err != nil {
		return nil // the context ended
	}
	a.begin(audit)
	a.examine(ctx)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer a.engine.Close()
	defer stop()
	a.runBeside(ctx, &running)

	ended := make(chan error, 1)
	running.Go(func() { ended <- a.options.Source.Run(ctx) })
	batches := make(chan Batch)
	running.Go(func() { a.receive(ctx, batches) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read %s: %w", a.options.Source.Status().Name, errors.Join(err, errSourceEnded))
		case batch := <-batches:
			number := a.workBegins()
			a.take(batch)
			a.engine.Ready()
			running.Go(func() {
				a.enforce(ctx, batch, number)
				a.workEnds(number)
			})
		}
	}
}

// runBeside starts what runs beside the engine, as far as it was asked for.
func (a *Agent) runBeside(ctx context.Context, running *sync.WaitGroup) {
	if a.options.Proxies != nil {
		a.openProxies(ctx, running)
	}
	running.Go(func() { a.keepLooking(ctx) })
	if a.options.Hold.Routes != nil {
		running.Go(func() { a.followRoutes(ctx) })
	}
	if a.options.Runtime.Socket != "" {
		running.Go(func() { a.followRuntime(ctx) })
	}
	if a.options.Denials != nil {
		running.Go(func() { a.readDenials(ctx) })
	}
}

var errSourceEnded = errors.New("the source ended")

func (a *Agent) receive(ctx context.Context, batches chan<- Batch) {
	for {
		batch, err := a.options.Source.Next(ctx)
		if err != nil {
			return // the context ended
		}
		select {
		case batches <- batch:
		case <-ctx.Done():
			return
		}
	}
}

// take hands a batch's changes to the engine and remembers what a status needs.
func (a *Agent) take(b Batch) {
	now := time.Now()
	for _, f := range b.Faults {
		a.faults.note(f, now)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takeCluster(b)
	each(b.Tiers, func(t *policy.Tier) { a.engine.SetTier(*t) }, a.engine.DeleteTier)
	each(b.Networks, a.engine.SetNetworks, a.engine.DeleteNetworks)
	each(b.Hosts, a.engine.SetHost, a.engine.DeleteHost)
	for ref, p := range b.Policies {
		if p == nil {
			a.engine.DeletePolicy(ref)
			delete(a.known.policies, ref)
			a.log.Info("policy is gone", "policy", ref.String())
			continue
		}
		a.engine.SetPolicy(p)
		a.known.policies[ref] = time.Time{}
		a.unproven[ref] = a.batches
	}
}

// each tells of changes; nil stands for what is gone.
func each[K comparable, V any](changes map[K]*V, set func(*V), gone func(K)) {
	for key, value := range changes {
		if value == nil {
			gone(key)
		} else {
			set(value)
		}
	}
}

func (a *Agent) takeCluster(b Batch) {
	each(b.Accounts, a.engine.SetServiceAccount, a.engine.DeleteServiceAccount)
	each(b.Services, a.engine.SetEndpoints, a.engine.DeleteEndpoints)
	each(b.Namespaces, a.engine.SetNamespace, a.engine.DeleteNamespace)
	for name, n := range b.Nodes {
		if name == a.options.Node {
			a.known.own = n
		}
		if n == nil {
			a.engine.DeleteNode(name)
		} else {
			a.engine.SetNode(n)
		}
	}
	if _, told := b.Nodes[a.options.Node]; told || !a.ready {
		a.hold()
	}
	for name, p := range b.Pods {
		delete(a.known.local, name)
		delete(a.known.told, name)
		switch {
		case p == nil:
			delete(a.early.addrs, name)
			a.engine.DeletePod(name)
		case p.Node == a.options.Node && !p.HostNetwork:
			a.setPod(p)
		default:
			a.engine.SetPod(p)
		}
	}
	a.early.tell()
}

// enforce waits until the kernel has the batch. The next batch does not wait for
// that: the engine looks at live connections long after the tables have changed.
// After a failure the engine tries again by itself; the recorder knows when it
// succeeds.
func (a *Agent) enforce(ctx context.Context, b Batch, number int) {
	if err := a.engine.Wait(ctx); err != nil {
		return // the engine has logged it
	}
	now := time.Now()
	a.mu.Lock()
	first := !a.ready
	a.ready = true
	a.early.tell()
	for ref, told := range a.unproven {
		if told > number {
			continue
		}
		delete(a.unproven, ref)
		if since, still := a.known.policies[ref]; still && since.IsZero() {
			a.known.policies[ref] = now
		}
	}
	local, policies, exists := len(a.known.local), len(a.known.policies), a.known.own != nil
	a.mu.Unlock()
	if first {
		debug.FreeOSMemory() // of what a start takes, most is garbage by now
		a.log.Info("enforcing", "node", a.options.Node, "pods", local, "policies", policies, "after", now.Sub(a.started))
		if !exists {
			a.log.Warn("no node of this name exists: is --node-name right?", "node", a.options.Node)
		}
		return
	}
	if !b.Since.IsZero() {
		a.metrics.latency.Observe(now.Sub(b.Since).Seconds())
	}
	a.logPolicies(b)
}

// logPolicies tells of the policies that are in force now and were not before.
func (a *Agent) logPolicies(b Batch) {
	for ref, p := range b.Policies {
		if p != nil {
			a.log.Info("policy is in force", "policy", ref.String())
		}
	}
}

func (a *Agent) workBegins() (number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batches++
	a.working[a.batches] = time.Now()
	return a.batches
}

func (a *Agent) workEnds(number int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.working, number)
}

// Ready tells whether all that the source told at first is in force.
func (a *Agent) Ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

// stuckAfter is how long the kernel may take for one change. Whole tables of
// 100,000 addresses take about a second.
const stuckAfter = 2 * time.Minute

// Alive tells whether the agent gets on: it is false while the kernel has not
// answered for minutes.
func (a *Agent) Alive() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, since := range a.working {
		if time.Since(since) >= stuckAfter {
			return false
		}
	}
	return true
}
