// Package policy is the one model that policies of every dialect are read into:
// tiers of ordered policies with ordered rules.
//
// The readers in the packages below it turn API objects into this model;
// package verdict evaluates it and package compile compiles it, each by itself.
// Values are read-only once they are in a Set. The package does no I/O.
package policy

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Action is what a rule does with a connection that it matches. Its zero value
// is Deny.
type Action uint8

// The actions.
const (
	Deny  Action = iota // end this direction: denied
	Allow               // end this direction: allowed
	Pass                // go on with the next tier
	Log                 // note the match and go on with the next rule
)

// String is the action's name in lower case.
func (a Action) String() string {
	switch a {
	case Deny:
		return "deny"
	case Allow:
		return "allow"
	case Pass:
		return "pass"
	case Log:
		return "log"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Dialect is the API that a policy was written in. Its zero value is invalid.
type Dialect uint8

// The dialects.
const (
	Kubernetes     Dialect = iota + 1 // networking.k8s.io/v1
	ClusterNetwork                    // policy.networking.k8s.io
	Calico                            // projectcalico.org/v3, crd.projectcalico.org/v1
	Cilium                            // cilium.io/v2
)

// String is the dialect's name.
func (d Dialect) String() string {
	switch d {
	case Kubernetes:
		return "kubernetes"
	case ClusterNetwork:
		return "clusternetworkpolicy"
	case Calico:
		return "calico"
	case Cilium:
		return "cilium"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// Ref names a policy.
type Ref struct {
	Dialect   Dialect
	Kind      string // as in the object's kind field
	Namespace string // empty for a cluster-wide policy
	Name      string
	// Part is which of its object's policies it is, such as "specs[1]"; empty for
	// the first or only one.
	Part string
}

// String is "namespace/name", or "name" for a cluster-wide policy; the part of
// an object of many follows: "namespace/name specs[1]".
func (r Ref) String() string {
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	if r.Part != "" {
		name += " " + r.Part
	}
	return name
}

// MarshalText writes the reference as String does.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Compare orders references by dialect, kind, namespace and name.
func (r Ref) Compare(o Ref) int {
	return compareRefs(r, o)
}

// Tier is a stage of the pipeline that a connection passes, per direction.
type Tier struct {
	Name  string
	Order float64 // lower comes first; ties are broken by name
	// End is what happens to a pod that a policy of this tier isolates when no
	// rule decided: Deny or Pass.
	End Action
}

// The tiers that are always there. AdminTier and BaselineTier are those of
// ClusterNetworkPolicy and its older forms; Calico calls them kube-admin and
// kube-baseline, and has its own tiers around. NetworkPolicyTier is the tier of
// NetworkPolicy, of Calico's default tier and of Cilium's policies.
var (
	AdminTier         = Tier{Name: "Admin", Order: 1000, End: Pass}
	NetworkPolicyTier = Tier{Name: "NetworkPolicy", Order: 1_000_000, End: Deny}
	BaselineTier      = Tier{Name: "Baseline", Order: 10_000_000, End: Pass}
)

// NetworkPolicyOrder is where each NetworkPolicy stands among the Calico
// policies of its tier.
const NetworkPolicyOrder = 1000

// Policy is one policy.
type Policy struct {
	Ref
	Tier    string  // a tier's name
	Order   float64 // within the tier; lower first, ties by Ref
	Subject PodSelector
	// Hosts are what the policy protects of nodes; nil: pods alone.
	Hosts *HostSubject
	// Ingress and Egress are the rules of each direction; nil: the policy says
	// nothing of that direction.
	Ingress, Egress *Rules
	// Gaps are what the policy says and we do not enforce; its rules deny what
	// depends on it.
	Gaps   []Gap
	Source Source
}

// Gap is a part of a policy that is not enforced.
type Gap struct {
	Field  string // the API path
	Reason string // and what becomes of the rule
}

// String is "spec.egress[0].to[1].domainNames: reason".
func (g Gap) String() string { return g.Field + ": " + g.Reason }

// Rules are a policy's rules for one direction.
type Rules struct {
	// Isolates: a connection of a selected pod that no rule of the tier decides
	// meets the tier's End.
	Isolates bool
	Rules    []Rule // the first that matches decides, except Log
}

// Rule is one rule. It matches a connection if one of its peers and one of its
// ports do.
type Rule struct {
	Name   string // empty: the rule has only its number
	Action Action
	// Peers are the other ends that the rule matches. With AnyPeer it matches
	// every one; without it, and with no peers, none.
	AnyPeer bool
	Peers   []Peer
	// Self is what the pod that the policy protects must be for the rule to
	// match: one of these; empty: anything. Services are not among them.
	Self []Peer
	// Ports are the protocols and ports at the connection's destination. With
	// AnyPort the rule matches all, ICMP and other protocols included.
	AnyPort bool
	Ports   []Port
	// NotPorts are protocols and ports that the rule does not match although
	// Ports or AnyPort do.
	NotPorts []Port
	// HTTP and DNS are what the content must be besides, if there are any: a
	// request must match one of HTTP, or a query's name one of DNS. A rule has
	// only one of them, it is an Allow, and matches only TCP, or for DNS only
	// TCP and UDP.
	HTTP []l7.HTTP
	DNS  []l7.Name
}

// Inspects is the verdict of a rule that asks for content, and Allow of one that
// does not.
func (r *Rule) Inspects() traffic.Verdict {
	switch {
	case len(r.HTTP) > 0:
		return traffic.InspectHTTP
	case len(r.DNS) > 0:
		return traffic.InspectDNS
	}
	return traffic.Allow
}

// Port is one protocol and its ports.
type Port struct {
	Protocol traffic.Protocol
	// From and To are the first and the last port, both included, of ICMP and
	// ICMPv6 types with their codes as traffic.ICMPPort gives them. Both zero
	// with an empty Name: every port of the protocol, unless Typed.
	From, To uint16
	Typed    bool // From and To are of ICMP, and count even if they are zero
	// Name is a container port's name, resolved on the destination pod.
	Name string
}

// String is "TCP", "TCP 80", "TCP 80-90", "TCP http", "ICMP type 8" or "ICMP
// type 3 code 1".
func (p Port) String() string {
	switch {
	case p.Name != "":
		return p.Protocol.String() + " " + p.Name
	case p.Typed && p.From == p.To:
		return fmt.Sprintf("%s type %d code %d", p.Protocol, p.From>>8, p.From&0xff)
	case p.Typed:
		return fmt.Sprintf("%s type %d", p.Protocol, p.From>>8)
	case p.From == 0 && p.To == 0:
		return p.Protocol.String()
	case p.From == p.To:
		return fmt.Sprintf("%s %d", p.Protocol, p.From)
	}
	return fmt.Sprintf("%s %d-%d", p.Protocol, p.From, p.To)
}

// Source is where a policy was read; its zero value is unknown.
type Source struct {
	File string // a path or "-"
	Line int    // of the object's first line, from 1
}

// In is the policy's rules of a direction, nil if it has none.
func (p *Policy) In(d traffic.Direction) *Rules {
	if d == traffic.Ingress {
		return p.Ingress
	}
	return p.Egress
}
