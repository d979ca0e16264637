package clusternp

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// draft is what the kinds have in common, as it was written.
type draft struct {
	kind, tier      string
	priority        int32
	subject         peer
	ingress, egress []rule

	most       int    // rules of a direction, peers and ports of a rule
	portsField string // "protocols" or "ports"
	allow      string // the action's name
	pass       bool   // the kind has the action Pass
}

// rule is a rule as it was written.
type rule struct {
	name, action string
	peers        []peer
	ports        []port // nil: the field is absent
}

// peer is a subject or a peer as it was written. The API wants exactly one of
// its fields; an absent one is nil.
type peer struct {
	namespaces  *metav1.LabelSelector
	pods        *pods
	nodes       *metav1.LabelSelector
	networks    []string
	domainNames []string
}

type pods struct {
	namespaces, pods *metav1.LabelSelector
}

func subject(namespaces *metav1.LabelSelector, pods *pods) peer {
	return peer{namespaces: namespaces, pods: pods}
}

// port is a protocol or a named port as a version of the API writes it.
type port interface {
	read(r *reader, path *field.Path) (policy.Port, bool)
	// named tells whether it is a port's name.
	named() bool
}

// texts are strings of the API's own types; nil for an absent list alone.
func texts[T ~string](list []T) []string {
	if list == nil {
		return nil
	}
	all := make([]string, len(list))
	for i, text := range list {
		all[i] = string(text)
	}
	return all
}
