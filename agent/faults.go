package agent

import (
	"cmp"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/kube"
)

// faultBook knows what is wrong with which objects, and tells of each once: in
// the log and, where there is an API server, as an Event.
type faultBook struct {
	log  *slog.Logger
	warn func(kube.Warning) bool // nil: nobody to tell

	mu   sync.Mutex
	open map[faultKey]OpenFault
}

type faultKey struct {
	group, kind string
	shared      bool // the fault is AddressShared, which no reader of objects knows of
	cluster.Name
}

// OpenFault is a fault that is still there.
type OpenFault struct {
	APIVersion string    `json:"apiVersion"`
	Object     string    `json:"object"` // "Kind namespace/name"
	Reason     Reason    `json:"reason"`
	Text       string    `json:"text"`
	Since      time.Time `json:"since"`
}

func newFaultBook(log *slog.Logger, warn func(kube.Warning) bool) *faultBook {
	return &faultBook{log: log, warn: warn, open: map[faultKey]OpenFault{}}
}

// note takes what is wrong with an object now, in place of what was.
func (b *faultBook) note(f Fault, now time.Time) {
	group, _, _ := strings.Cut(f.Object.APIVersion, "/")
	key := faultKey{group, f.Object.Kind, f.Reason == AddressShared, f.Object.Name}
	text := f.Text()
	b.mu.Lock()
	old, was := b.open[key]
	news := !was || old.Text != text || old.Reason != f.Reason
	if text == "" {
		delete(b.open, key)
	} else if news {
		b.open[key] = OpenFault{APIVersion: f.Object.APIVersion, Object: f.Object.String(), Reason: f.Reason, Text: text, Since: now}
	}
	b.mu.Unlock()
	switch {
	case text != "" && news:
		b.tell(f, text)
	case text == "" && was:
		b.log.Info("object is in order again", "object", old.Object)
	}
}

// consequences say in each case what that means.
var consequences = map[Reason]string{
	NotEnforced:    "the policy is NOT enforced, nobody can tell which pods it protects",
	PartlyEnforced: "what was not understood allows nothing, the rest is enforced",
	NotSupported:   "the rest is enforced",
	NotUnderstood:  "the field counts as absent",
	AddressShared:  "the address is allowed only what each of its claimants is",
}

func (b *faultBook) tell(f Fault, text string) {
	consequence := consequences[f.Reason]
	b.log.Error("object has a fault", "object", f.Object.String(), "reason", f.Reason, "fault", text, "so", consequence)
	if b.warn == nil {
		return
	}
	told := b.warn(kube.Warning{Object: f.Object, Reason: string(f.Reason), Action: "Enforce", Note: consequence + ": " + text})
	if !told {
		b.log.Warn("event dropped, too many at once", "object", f.Object.String(), "reason", f.Reason)
	}
}

// list is the open faults by object.
func (b *faultBook) list() []OpenFault {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := make([]OpenFault, 0, len(b.open))
	for _, f := range b.open {
		faults = append(faults, f)
	}
	slices.SortFunc(faults, func(a, b OpenFault) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return faults
}
