package kube

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Definition is a resource that exists while a CustomResourceDefinition for it is
// installed.
type Definition struct {
	Group, Kind string
	Resource    string   // the kind's plural, in the URL
	Versions    []string // that can be read, the preferred one first
}

// name is that of the CustomResourceDefinition.
func (d Definition) name() string { return d.Resource + "." + d.Group }

// FollowDefined adds a table of a resource that a definition makes. It follows
// the resource while the definition is installed, and is empty and synced while
// it is not. A definition that serves none of the versions is tried again and
// again, and does not keep the feed from being synced.
func FollowDefined[V any](f *Feed, d Definition, read func(*Custom) Reading[V], same func(a, b V) bool) *Table[V] {
	var versions []Resource
	for _, version := range d.Versions {
		versions = append(versions, f.client.customResource(schema.GroupVersion{Group: d.Group, Version: version}, d.Kind, d.Resource))
	}
	t := newTable(f, versions[0], func(object metav1.Object) Reading[V] { return read(object.(*Custom)) }, same)
	t.kind.APIVersion = d.Group + "/" + d.Versions[0]
	t.state.Kind = d.Kind + "." + d.Group // several groups may have kinds of one name
	t.gate = newGate(t, "not installed")
	f.whileDefined(d.name(), t.gate)
	f.add(&follower{resource: versions[0], others: versions[1:], sink: t, gate: t.gate}, t.State)
	return t
}

// whileDefined has a gate open while a definition exists.
func (f *Feed) whileDefined(name string, g *gate) {
	if f.definitions == nil {
		f.definitions = &definitions{
			gates: map[string][]*gate{},
			Table: newTable(f, f.client.definitions(), func(object metav1.Object) Reading[struct{}] { return Reading[struct{}]{} }, alike),
		}
		// Before the tables that it opens: then what is synced after it was asked
		// for is what it opened.
		f.add(&follower{resource: f.client.definitions(), sink: f.definitions}, f.definitions.State)
	}
	f.definitions.gates[name] = append(f.definitions.gates[name], g)
}

func alike(_, _ struct{}) bool { return true }

// definitions keeps the names of the definitions and opens the gates of those
// that somebody follows. As all tables, it takes none for gone before a complete
// list has shown it.
type definitions struct {
	*Table[struct{}]
	gates map[string][]*gate // by a definition's name; not changed once the feed runs
}

func (d *definitions) put(object metav1.Object) {
	if d.gates[object.GetName()] == nil {
		return // nobody asks for what it defines
	}
	d.Table.put(object)
	for _, g := range d.gates[object.GetName()] {
		g.set(true)
	}
}

func (d *definitions) gone(object metav1.Object) {
	d.Table.gone(object)
	d.shut()
}

func (d *definitions) end() {
	d.Table.end()
	d.shut()
}

// shut shuts the gates of definitions that do not exist.
func (d *definitions) shut() {
	for name, change := range d.Take() {
		if change.Gone {
			d.drop(name)
		}
	}
}

func (d *definitions) drop(name cluster.Name) {
	for _, g := range d.gates[name.Name] {
		g.set(false)
	}
}
