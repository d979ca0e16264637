package agent

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// content is what an object of some dialect brings.
type content struct {
	policies []*policy.Policy
	staged   []*policy.Staged
	tiers    []*policy.Tier
	networks []*policy.Networks
	hosts    []*policy.Host
	gaps     []policy.Gap
}

// dialects are the policies of all kinds that definitions make, and what belongs
// to them. It is used by one goroutine.
type dialects struct {
	tables   []definedTable
	objects  map[origin]*definedObject
	policies claims[policy.Ref, policy.Policy]
	tiers    claims[string, policy.Tier]
	networks claims[policy.Ref, policy.Networks]
	hosts    claims[policy.Ref, policy.Host]
}

type definedTable struct {
	kind  manifest.Defined
	table *kube.Table[*content]
}

// definedObject is what was read of an object last.
type definedObject struct {
	object  kube.Object
	content *content
	errs    field.ErrorList
	faulty  bool // a fault was told
}

func emptyDialects() *dialects {
	d := &dialects{
		objects: map[origin]*definedObject{}, policies: claims[policy.Ref, policy.Policy]{},
		tiers: claims[string, policy.Tier]{}, networks: claims[policy.Ref, policy.Networks]{},
		hosts: claims[policy.Ref, policy.Host]{},
	}
	for _, tier := range policy.StandardTiers() {
		d.tiers.set(origin{kind: -1}, tier.Name, &tier)
	}
	return d
}

// newDialects follows all kinds; conditions, unless nil, tells of those that have
// a status.
func newDialects(feed *kube.Feed, conditions *kube.Conditions) *dialects {
	d := emptyDialects()
	for _, kind := range manifest.DefinedKinds() {
		definition := kube.Definition{Group: kind.Group, Kind: kind.Kind, Resource: kind.Resource, Versions: kind.Versions}
		read := func(o *kube.Custom) kube.Reading[*content] {
			r := readContent(&kind, o.APIVersion, o.JSON)
			if conditions != nil && kind.Conditions() {
				conditions.See(o, kind.Resource, accepted(r.Value, r.Errs))
			}
			return r
		}
		same := func(a, b *content) bool { return reflect.DeepEqual(a, b) }
		d.tables = append(d.tables, definedTable{kind, kube.FollowDefined(feed, definition, read, same)})
	}
	return d
}

func readContent(kind *manifest.Defined, apiVersion string, object []byte) kube.Reading[*content] {
	r := kind.Read(apiVersion, object)
	c := &content{
		policies: sortedValues(r.Set.Policies), staged: sortedValues(r.Set.Staged),
		networks: sortedValues(r.Set.Networks), hosts: sortedValues(r.Set.Hosts), gaps: r.Gaps,
	}
	for _, tier := range r.Set.Tiers {
		c.tiers = append(c.tiers, &tier) // of which an object makes one at most
	}
	return kube.Reading[*content]{Value: c, Errs: r.Errs}
}

func sortedValues[V any](values map[policy.Ref]V) []V {
	var sorted []V
	for _, ref := range slices.SortedFunc(maps.Keys(values), policy.Ref.Compare) {
		sorted = append(sorted, values[ref])
	}
	return sorted
}

// take adds to a batch what changed in the tables.
func (d *dialects) take(b *Batch) {
	changes := map[origin]kube.Change[*content]{}
	for i, t := range d.tables {
		for name, change := range t.table.Take() {
			changes[origin{i, name}] = change
		}
	}
	d.apply(b, changes)
}

func (d *dialects) apply(b *Batch, changes map[origin]kube.Change[*content]) {
	for from, change := range changes {
		d.replace(b, from, change)
	}
	for from := range changes {
		d.judge(b, from)
	}
	if len(b.Tiers) == 0 {
		return
	}
	for from, o := range d.objects { // whose tier may have come or gone
		if _, done := changes[from]; !done && len(o.content.policies) > 0 {
			d.judge(b, from)
		}
	}
}

// replace puts what an object brings now in the place of what it brought.
func (d *dialects) replace(b *Batch, from origin, change kube.Change[*content]) {
	before, after := &content{}, change.Value
	o := d.objects[from]
	if o == nil {
		o = &definedObject{}
		d.objects[from] = o
	} else {
		before = o.content
	}
	if change.Gone {
		after = &content{}
	}
	o.object, o.content, o.errs = change.Object, after, change.Errs
	ofPolicy := func(p *policy.Policy) policy.Ref { return p.Ref }
	replace(&b.Policies, d.policies, from, before.policies, after.policies, ofPolicy)
	replace(&b.Tiers, d.tiers, from, before.tiers, after.tiers, func(t *policy.Tier) string { return t.Name })
	replace(&b.Networks, d.networks, from, before.networks, after.networks, func(n *policy.Networks) policy.Ref { return n.Ref })
	replace(&b.Hosts, d.hosts, from, before.hosts, after.hosts, func(h *policy.Host) policy.Ref { return h.Ref })
	if change.Gone && !o.faulty {
		delete(d.objects, from)
	}
}

// judge tells of what is wrong with an object now, if it is not what it was.
func (d *dialects) judge(b *Batch, from origin) {
	o := d.objects[from]
	if o == nil {
		return
	}
	fault := d.fault(o)
	if wrong := fault.Text() != ""; wrong || o.faulty {
		o.faulty = wrong
		b.Faults = append(b.Faults, fault)
	}
	if len(o.content.policies)+len(o.content.staged)+len(o.content.tiers)+len(o.content.networks)+len(o.content.hosts)+len(o.errs) == 0 {
		delete(d.objects, from)
	}
}

// fault is what is wrong with an object.
func (d *dialects) fault(o *definedObject) Fault {
	fault := Fault{Object: o.object, Reason: NotUnderstood, Errs: o.errs, Gaps: o.content.gaps}
	for _, p := range o.content.policies {
		if d.tiers.first(p.Tier) == nil {
			fault.Errs = append(slices.Clone(fault.Errs), field.Invalid(field.NewPath("spec", "tier"), p.Tier,
				"there is no tier of this name: the policy is asked last, and what it does not decide is denied"))
			break
		}
	}
	switch {
	case !strings.HasSuffix(o.object.Kind, "NetworkPolicy"):
	case len(o.errs) > 0 && len(o.content.policies)+len(o.content.staged) == 0:
		fault.Reason = NotEnforced
	case len(fault.Errs) > 0:
		fault.Reason = PartlyEnforced
	default:
		fault.Reason = NotSupported
	}
	return fault
}
