package kube

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Reading is what a table keeps of an object.
type Reading[V any] struct {
	Value V
	// Skip: nobody needs the object; the table treats it as absent.
	Skip bool
	// Errs name what in the object was not understood.
	Errs field.ErrorList
}

// Change is what became of an object since the last Take.
type Change[V any] struct {
	Object Object
	Value  V // the zero value if the object is gone
	Gone   bool
	Errs   field.ErrorList
	// Mended: there were Errs, and now there are none.
	Mended bool
}

// Object names an object well enough to write an Event about it.
type Object struct {
	APIVersion, Kind string
	cluster.Name
	UID        types.UID
	Generation int64 // counts changes of the spec; zero where the kind has none
}

// String is "Kind namespace/name".
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name.Name
	}
	return o.Kind + " " + o.Name.String()
}

// Table is the objects of one resource, one value each.
type Table[V any] struct {
	kind Object // without a name
	read func(metav1.Object) Reading[V]
	same func(a, b V) bool
	wake func()
	log  *slog.Logger
	gate *gate // nil: the resource is always followed

	mu      sync.Mutex
	entries map[cluster.Name]entry[V]
	changes map[cluster.Name]Change[V]
	epoch   uint32 // counts complete lists that were begun
	state   State
}

type entry[V any] struct {
	value V
	errs  string // how Errs read; empty: none
	epoch uint32 // of the last list that had it
}

// State is how a table stands to its API server.
type State struct {
	// Kind tells the tables of a feed apart; kinds that definitions make have
	// their group behind them.
	Kind     string `json:"kind"`
	Objects  int    `json:"objects"`
	Synced   bool   `json:"synced"`   // a complete list was seen
	Lists    int    `json:"lists"`    // complete lists seen
	Failures int    `json:"failures"` // times that the server was lost
	// Lost is why the server does not answer; empty: it does.
	Lost string `json:"lost,omitempty"`
	// Absent is why there is nothing to follow, as if the list were empty; empty:
	// there is.
	Absent string `json:"absent,omitempty"`
	// Since is when the server answered first after it had not, or stopped.
	Since time.Time `json:"since"`
}

// Take returns what changed since it was called last.
func (t *Table[V]) Take() map[cluster.Name]Change[V] {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes := t.changes
	t.changes = nil
	return changes
}

// State is how the table stands.
func (t *Table[V]) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.state
	state.Objects = len(t.entries)
	return state
}

// Values calls visit with every value, in no order. It must not call the table.
func (t *Table[V]) Values(visit func(V)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := range maps.Values(t.entries) {
		visit(e.value)
	}
}

// Want says whether a table of FollowOnDemand is to follow its resource. It
// returns when State tells so.
func (t *Table[V]) Want(want bool) { t.gate.set(want) }

func (t *Table[V]) begun() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Synced, t.state.Absent = false, ""
}

func (t *Table[V]) ended(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.entries {
		t.drop(name)
	}
	t.state.Synced, t.state.Absent, t.state.Lost, t.state.Since = why != "", why, "", time.Now()
	t.wake()
}

func (t *Table[V]) absent(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state.Absent == "" {
		t.log.Warn("there is nothing to follow", "because", why)
		t.wake()
	}
	t.state.Synced, t.state.Absent, t.state.Lost = true, why, ""
}

func (t *Table[V]) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
}

func (t *Table[V]) put(object metav1.Object) {
	reading := t.read(object)
	if reading.Skip {
		t.gone(object)
		return
	}
	name := nameOf(object)
	next := entry[V]{value: reading.Value, errs: text(reading.Errs)}
	t.mu.Lock()
	defer t.mu.Unlock()
	next.epoch = t.epoch
	old, known := t.entries[name]
	if known && old.errs == next.errs && t.same(old.value, next.value) {
		old.epoch = t.epoch
		t.entries[name] = old
		return
	}
	t.entries[name] = next
	t.note(Change[V]{
		Object: t.object(object), Value: reading.Value, Errs: reading.Errs,
		Mended: old.errs != "" && next.errs == "",
	})
}

func (t *Table[V]) gone(object metav1.Object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(nameOf(object))
}

// end reports what the complete list did not have.
func (t *Table[V]) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, e := range t.entries {
		if e.epoch != t.epoch {
			t.drop(name)
		}
	}
	t.state.Synced = true
	t.state.Lists++
	t.wake()
}

func (t *Table[V]) drop(name cluster.Name) {
	old, known := t.entries[name]
	if !known {
		return
	}
	delete(t.entries, name)
	object := t.kind
	object.Name = name
	t.note(Change[V]{Object: object, Gone: true, Mended: old.errs != ""})
}

func (t *Table[V]) note(change Change[V]) {
	if t.changes == nil {
		t.changes = map[cluster.Name]Change[V]{}
	}
	if earlier := t.changes[change.Object.Name]; earlier.Mended && len(change.Errs) == 0 {
		change.Mended = true
	}
	t.changes[change.Object.Name] = change
	t.wake()
}

func (t *Table[V]) connected() {
	if lost, since := t.answered(""); lost != "" {
		t.log.Info("API server answers again", "after", time.Since(since))
	}
}

func (t *Table[V]) disconnected(reason error) {
	if lost, _ := t.answered(reason.Error()); lost == "" {
		t.log.Warn("API server is lost; what is in force stays in force", "error", reason)
		t.wake() // who waits for this table learns that it may take long
	}
}

// answered returns how it was before.
func (t *Table[V]) answered(lost string) (was string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, since = t.state.Lost, t.state.Since
	if since.IsZero() || (was == "") != (lost == "") {
		t.state.Since = time.Now()
		if lost != "" {
			t.state.Failures++
		}
	}
	t.state.Lost, t.state.Absent = lost, ""
	return was, since
}

func (t *Table[V]) object(object metav1.Object) Object {
	o := t.kind
	o.Name, o.UID, o.Generation = nameOf(object), object.GetUID(), object.GetGeneration()
	if custom, ok := object.(*Custom); ok {
		o.APIVersion = custom.APIVersion
	}
	return o
}

func nameOf(object metav1.Object) cluster.Name {
	return cluster.Name{Namespace: object.GetNamespace(), Name: object.GetName()}
}

func text(errs field.ErrorList) string {
	if len(errs) == 0 {
		return ""
	}
	return errs.ToAggregate().Error()
}
