package policy

import (
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Selector picks objects by their labels. labels.Selector of apimachinery is
// one; dialects with a language of their own bring theirs. One that implements
// Requirements, as that does, tells of conditions that all it picks meet.
type Selector interface {
	Matches(labels.Labels) bool
	// String is a canonical form: equal strings mean equal selectors.
	String() string
}

// PodSelector picks pods that are on the pod network. Its terms are AND-ed; its
// zero value picks every such pod.
type PodSelector struct {
	Namespace  string   // only this namespace; empty: any
	Namespaces Selector // by the namespace's labels; nil: any
	Pods       Selector // by the pod's labels; nil: any
}

// Matches tells whether the selector picks the pod. Pods on their node's
// network are never picked.
func (s PodSelector) Matches(pod *cluster.Pod, l *Labels) bool {
	if pod.HostNetwork || s.Namespace != "" && s.Namespace != pod.Namespace {
		return false
	}
	if s.Namespaces != nil && !s.Namespaces.Matches(labels.Set(l.Namespace.Labels)) {
		return false
	}
	return s.Pods == nil || s.Pods.Matches(l)
}

// String is canonical: "pods namespace=shop namespaces{team=a} {app=web}".
func (s PodSelector) String() string {
	var b strings.Builder
	b.WriteString("pods")
	if s.Namespace != "" {
		b.WriteString(" namespace=" + s.Namespace)
	}
	if s.Namespaces != nil {
		b.WriteString(" namespaces{" + s.Namespaces.String() + "}")
	}
	if s.Pods != nil {
		b.WriteString(" {" + s.Pods.String() + "}")
	}
	return b.String()
}

// Which says which nodes a selector means, as seen from the pod that a policy
// protects. Its zero value is all of them.
type Which uint8

// The choices.
const (
	AnyNode   Which = iota
	OwnNode         // the one that the pod runs on
	OtherNode       // all but that one
)

// NodeSelector picks nodes, and with them the pods on their network. Its zero
// value picks every node.
type NodeSelector struct {
	Which Which
	Nodes Selector // by the node's labels; nil: any
}

// Matches tells whether the selector picks a node; own: the pod that the policy
// protects runs on it.
func (s NodeSelector) Matches(node *cluster.Node, own bool) bool {
	if s.Which == OwnNode && !own || s.Which == OtherNode && own {
		return false
	}
	return s.Nodes == nil || s.Nodes.Matches(labels.Set(node.Labels))
}

// String is canonical: "nodes", "own node", "other nodes {zone=a}".
func (s NodeSelector) String() string {
	text := [...]string{AnyNode: "nodes", OwnNode: "own node", OtherNode: "other nodes"}[s.Which]
	if s.Nodes != nil {
		text += " {" + s.Nodes.String() + "}"
	}
	return text
}

// NetworkSelector picks sets of networks of one dialect. Without more it picks
// all of them.
type NetworkSelector struct {
	Dialect  Dialect
	Name     string   // only the set of this name; empty: any
	Networks Selector // by the set's labels; nil: any
}

// Matches tells whether the selector picks a set.
func (s NetworkSelector) Matches(n *Networks, l *Labels) bool {
	return s.Dialect == n.Dialect && (s.Name == "" || s.Name == n.Name) &&
		(s.Networks == nil || s.Networks.Matches(l))
}

// String is canonical: "calico networks {feed == "bad"}".
func (s NetworkSelector) String() string {
	text := s.Dialect.String() + " networks"
	if s.Name != "" {
		text += " name=" + s.Name
	}
	if s.Networks != nil {
		text += " {" + s.Networks.String() + "}"
	}
	return text
}

// nobody is a selector that picks nothing.
type nobody struct{}

func (nobody) Matches(labels.Labels) bool { return false }
func (nobody) String() string             { return "nobody" }
