// Package compile turns a cluster and its policies into one node's plan, and
// keeps the plan up to date as they change.
//
// A Compiler is told what exists, one object at a time and in any order; Commit
// then brings the plan up to date and returns exactly what changed. The plan is a
// function of what exists and of nothing else: the same objects give the same
// plan whatever came before, and a full compilation is nothing but setting
// everything and committing once.
//
// Objects passed in are shared and must not change afterwards. A Compiler
// belongs to one goroutine. The package does no I/O.
//
// # How it works
//
// Only policies that select a pod of this node count. Their peers become
// matchers; a peer group is a set of matchers that some address satisfies. A
// pod's matchers are found through indexes by namespace and label, in both
// directions: from a new pod to its matchers and from a new matcher to its pods.
// The local pods with the same policies form a class, and the rules of a class
// are flattened for each group that they can tell from others: see flatten.go.
// Matchers of addresses are the blocks that contain them, in a tree whose gaps
// are the plan's ranges: see nets.go.
//
// # What is closed rather than open
//
// An address that several pods claim, or a pod and a node, is allowed what each
// of its claimants is allowed. A policy of a tier that does not exist (yet)
// denies what the tiers before leave undecided.
package compile

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/plan"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Compiler holds one node's plan and what it was made from. Its methods record
// what was said; Commit does the work.
type Compiler struct {
	node    string
	audit   bool // where a namespace does not choose
	pending pending
	out     *recorder

	tiers     map[string]policy.Tier
	tierPlace map[string]int // in the pipeline
	policies  map[policy.Ref]*record
	subjects  *selectorIndex[*record]

	namespaces map[string]*namespace
	pods       map[cluster.Name]*pod
	nodes      map[string]*host
	accounts   map[cluster.Name]*cluster.ServiceAccount
	networks   map[policy.Ref]*policy.Networks
	doors      *doors
	endpoints  map[cluster.Name]*cluster.Endpoints
	shelves    *shelves
	sets       map[string]*set
	locals     map[*pod]struct{}
	addresses  *addresses
	held       held
	claims     claims

	matchers  map[string]*matcher // by text
	serial    uint32              // of the last matcher made
	selectors *selectorIndex[*matcher]
	ports     map[portName]*portUse
	idle      map[*matcher]struct{} // perhaps without rules
	nets      *nets

	nodeMatchers    map[*matcher]struct{}
	networkMatchers map[*matcher]struct{}
	serviceMatchers map[*matcher]struct{}
	portRules       map[*ruleset]struct{} // that ask for the ports of services

	groups     map[string]*group // by key
	stirred    map[*group]struct{}
	groupNames *names[plan.PeerID, *group]

	classes    map[string]*class // by key
	stirredCls map[*class]struct{}
	classNames *names[plan.ClassID, *class]

	filters *filters
	learned policy.Learned
	named   map[string]*matcher // of names, by selector

	dirty dirty
}

// pending is what was said since the last Commit; nil stands for deleted.
type pending struct {
	tiers      map[string]*policy.Tier
	namespaces map[string]*cluster.Namespace
	nodes      map[string]*cluster.Node
	pods       map[cluster.Name]*cluster.Pod
	accounts   map[cluster.Name]*cluster.ServiceAccount
	networks   map[policy.Ref]*policy.Networks
	hosts      map[policy.Ref]*policy.Host
	endpoints  map[cluster.Name]*cluster.Endpoints
	policies   map[policy.Ref]*policy.Policy
	learned    policy.Learned
}

// dirty is what a Commit has still to look at.
type dirty struct {
	locals     map[*pod]struct{}     // their policies may have changed
	localAddrs map[*address]struct{} // their classes may have changed
	addrs      []*address            // their group may have changed; each once
	nets       map[*net]struct{}     // their pieces or their group may have changed
	classes    map[*class]struct{}   // everything about them may have changed
	rules      map[*class]touched    // rules of some of their policies have changed
}

// New is a compiler for a node, in a cluster where nothing exists yet but the
// standard tiers.
func New(node string) *Compiler {
	c := &Compiler{
		node:       node,
		out:        newRecorder(node),
		tiers:      map[string]policy.Tier{},
		tierPlace:  map[string]int{},
		policies:   map[policy.Ref]*record{},
		subjects:   newSelectorIndex[*record](),
		namespaces: map[string]*namespace{},
		pods:       map[cluster.Name]*pod{},
		nodes:      map[string]*host{},
		accounts:   map[cluster.Name]*cluster.ServiceAccount{},
		networks:   map[policy.Ref]*policy.Networks{},
		doors:      newDoors(),
		endpoints:  map[cluster.Name]*cluster.Endpoints{},
		shelves:    newShelves(),
		sets:       map[string]*set{},
		locals:     map[*pod]struct{}{},
		addresses:  newAddresses(),
		claims:     claims{shared: map[netip.Addr]Claim{}},
		matchers:   map[string]*matcher{},
		selectors:  newSelectorIndex[*matcher](),
		ports:      map[portName]*portUse{},
		idle:       map[*matcher]struct{}{},
		nets:       newNets(),
		groups:     map[string]*group{},
		stirred:    map[*group]struct{}{},
		groupNames: newNames[plan.PeerID, *group](),
		classes:    map[string]*class{},
		stirredCls: map[*class]struct{}{},
		classNames: newNames[plan.ClassID, *class](),

		nodeMatchers:    map[*matcher]struct{}{},
		networkMatchers: map[*matcher]struct{}{},
		serviceMatchers: map[*matcher]struct{}{},
		portRules:       map[*ruleset]struct{}{},

		filters: newFilters(),
		learned: policy.Learned{},
		named:   map[string]*matcher{},
	}
	c.pending.reset()
	c.dirty.reset()
	for _, t := range policy.StandardTiers() {
		c.SetTier(t)
	}
	return c
}

func (p *pending) reset() {
	*p = pending{
		tiers:      map[string]*policy.Tier{},
		namespaces: map[string]*cluster.Namespace{},
		nodes:      map[string]*cluster.Node{},
		pods:       map[cluster.Name]*cluster.Pod{},
		accounts:   map[cluster.Name]*cluster.ServiceAccount{},
		networks:   map[policy.Ref]*policy.Networks{},
		hosts:      map[policy.Ref]*policy.Host{},
		endpoints:  map[cluster.Name]*cluster.Endpoints{},
		policies:   map[policy.Ref]*policy.Policy{},
		learned:    policy.Learned{},
	}
}

func (d *dirty) reset() {
	*d = dirty{
		locals:     map[*pod]struct{}{},
		localAddrs: map[*address]struct{}{},
		nets:       map[*net]struct{}{},
		classes:    map[*class]struct{}{},
		rules:      map[*class]touched{},
	}
}

func (d *dirty) address(a *address) {
	if !a.dirty {
		a.dirty = true
		d.addrs = append(d.addrs, a)
	}
}

// Audit lets through, and has the dataplane note, what policies deny pods whose
// namespace does not choose by the label cluster.ModeLabel. It is for a compiler
// that was told nothing yet.
func (c *Compiler) Audit() { c.audit = true }

// SetNamespace declares a namespace or changes it.
func (c *Compiler) SetNamespace(n *cluster.Namespace) { c.pending.namespaces[n.Name] = n }

// DeleteNamespace takes a namespace's declaration away; pods that are still in
// it see the automatic label alone.
func (c *Compiler) DeleteNamespace(name string) { c.pending.namespaces[name] = nil }

// SetPod adds a pod or changes it.
func (c *Compiler) SetPod(p *cluster.Pod) { c.pending.pods[p.Name] = p }

// DeletePod takes a pod away.
func (c *Compiler) DeletePod(name cluster.Name) { c.pending.pods[name] = nil }

// SetNode adds a node or changes it.
func (c *Compiler) SetNode(n *cluster.Node) { c.pending.nodes[n.Name] = n }

// DeleteNode takes a node away.
func (c *Compiler) DeleteNode(name string) { c.pending.nodes[name] = nil }

// SetServiceAccount declares a service account or changes it.
func (c *Compiler) SetServiceAccount(a *cluster.ServiceAccount) { c.pending.accounts[a.Name] = a }

// DeleteServiceAccount takes a service account's declaration away; pods that
// still name it see no labels.
func (c *Compiler) DeleteServiceAccount(name cluster.Name) { c.pending.accounts[name] = nil }

// SetNetworks adds a set of networks or changes it.
func (c *Compiler) SetNetworks(n *policy.Networks) { c.pending.networks[n.Ref] = n }

// DeleteNetworks takes a set of networks away.
func (c *Compiler) DeleteNetworks(ref policy.Ref) { c.pending.networks[ref] = nil }

// SetEndpoints tells where a service leads.
func (c *Compiler) SetEndpoints(e *cluster.Endpoints) { c.pending.endpoints[e.Name] = e }

// DeleteEndpoints tells that a service leads nowhere.
func (c *Compiler) DeleteEndpoints(name cluster.Name) { c.pending.endpoints[name] = nil }

// SetPolicy adds a policy or changes it.
func (c *Compiler) SetPolicy(p *policy.Policy) { c.pending.policies[p.Ref] = p }

// DeletePolicy takes a policy away.
func (c *Compiler) DeletePolicy(ref policy.Ref) { c.pending.policies[ref] = nil }

// SetLearned says which addresses the names have that a selector picks, by the
// selector's text; nil: none.
func (c *Compiler) SetLearned(selector string, addrs []netip.Addr) {
	c.pending.learned[selector] = addrs
}

// SetTier adds a tier or changes it.
func (c *Compiler) SetTier(t policy.Tier) { c.pending.tiers[t.Name] = &t }

// DeleteTier takes a tier away.
func (c *Compiler) DeleteTier(name string) { c.pending.tiers[name] = nil }

// Plan is the plan as of the last Commit. It belongs to the compiler: it is for
// reading, until the next Commit.
func (c *Compiler) Plan() *plan.Plan { return c.out.plan }

// Commit brings the plan up to date with all that was said, and returns what
// that changed. Who is there comes before what is asked about them: so every new
// matcher meets every pod as it is now.
func (c *Compiler) Commit() plan.Diff {
	c.settleTiers()
	c.settleNamespaces()
	c.settleNetworks()
	c.settleEndpoints()
	c.settleLearned()
	c.settleHosts()
	c.settleNodes()
	c.settlePods()
	c.settleAccounts()
	c.settlePolicies()
	c.pending.reset()

	c.settleHeld()
	c.settleLocals()
	c.settleDoors()
	c.settleClassLives()
	c.retire()
	c.settleNets()
	c.settleAddrs()
	born := c.settleGroups()
	c.settleRows(born)

	c.writeAddrs()
	c.filters.settle(&c.out.filters)
	c.writeDoors()
	c.dirty.reset()
	return c.out.take()
}

// Full compiles a whole cluster at once.
func Full(node string, snapshot *cluster.Snapshot, set *policy.Set) *plan.Plan {
	c := New(node)
	c.SetAll(snapshot, set)
	c.Commit()
	return c.Plan()
}

// SetAll sets everything that the snapshot and the set hold; what they do not
// hold stays as it is, but for the standard tiers.
func (c *Compiler) SetAll(snapshot *cluster.Snapshot, set *policy.Set) {
	for _, t := range policy.StandardTiers() {
		c.DeleteTier(t.Name)
	}
	for _, t := range set.Tiers {
		c.SetTier(t)
	}
	for _, n := range snapshot.Namespaces {
		c.SetNamespace(n)
	}
	for _, n := range snapshot.Nodes {
		c.SetNode(n)
	}
	for _, p := range snapshot.Pods {
		c.SetPod(p)
	}
	for _, a := range snapshot.ServiceAccounts {
		c.SetServiceAccount(a)
	}
	for _, e := range snapshot.Endpoints {
		c.SetEndpoints(e)
	}
	for _, n := range set.Networks {
		c.SetNetworks(n)
	}
	c.Failsafes(set.OpenPorts())
	for _, h := range set.Hosts {
		c.SetHost(h)
	}
	for _, p := range set.Policies {
		c.SetPolicy(p)
	}
	for selector, addrs := range set.Learned {
		c.SetLearned(selector, addrs)
	}
}
