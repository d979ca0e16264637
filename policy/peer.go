package policy

import (
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Selector picks objects by their labels. labels.Selector of apimachinery is
// one; dialects with a language of their own bring theirs.
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
func (s PodSelector) Matches(pod *cluster.Pod, namespaceLabels map[string]string) bool {
	if pod.HostNetwork || s.Namespace != "" && s.Namespace != pod.Namespace {
		return false
	}
	if s.Namespaces != nil && !s.Namespaces.Matches(labels.Set(namespaceLabels)) {
		return false
	}
	return s.Pods == nil || s.Pods.Matches(labels.Set(pod.Labels))
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

// CIDR is a block of addresses with parts cut out.
type CIDR struct {
	Prefix netip.Prefix   // masked
	Except []netip.Prefix // masked, inside Prefix, sorted
}

// Contains tells whether the address is in the block and in none of its
// exceptions.
func (c CIDR) Contains(addr netip.Addr) bool {
	if !c.Prefix.Contains(addr) {
		return false
	}
	for _, e := range c.Except {
		if e.Contains(addr) {
			return false
		}
	}
	return true
}

// String is canonical: "10.0.0.0/8 except 10.1.0.0/16".
func (c CIDR) String() string {
	s := c.Prefix.String()
	for i, e := range c.Except {
		if i == 0 {
			s += " except "
		} else {
			s += ","
		}
		s += e.String()
	}
	return s
}

// Peer is the other end of a connection. One of its fields is set.
type Peer struct {
	Pods *PodSelector
	CIDR *CIDR // matches an address, whoever has it
}

// Matches tells whether the peer picks an address. The pod is the one that has
// the address on the pod network, nil if none does.
func (p Peer) Matches(addr netip.Addr, pod *cluster.Pod, namespaceLabels map[string]string) bool {
	switch {
	case p.Pods != nil:
		return pod != nil && p.Pods.Matches(pod, namespaceLabels)
	case p.CIDR != nil:
		return p.CIDR.Contains(addr)
	}
	return false
}

// String is canonical: equal strings mean equal peers.
func (p Peer) String() string {
	switch {
	case p.Pods != nil:
		return p.Pods.String()
	case p.CIDR != nil:
		return "net " + p.CIDR.String()
	}
	return "none"
}
