// Package verdict is the reference evaluator: it says of one connection whether
// the policies allow it, and why.
//
// It is written to read as the specification does, and it is the second opinion
// on package compile: it never imports compile or plan. An Evaluator is prepared
// from a snapshot and a policy set, which must not change while it is in use;
// several goroutines may use it. The package does no I/O.
//
// One direction at a time, egress of the source and ingress of the destination,
// the connection passes the tiers in their order. In a tier the policies that
// select the pod are asked in their order; the first rule that matches decides:
// Allow and Deny end the direction, Pass goes on with the next tier, Log with the
// next rule. If none decides and one of the policies isolates the pod, the
// tier's End happens. What no tier decides is allowed. Policies on hosts are asked
// in the same way at each door of a node that the connection passes: see host.go.
package verdict

import (
	"fmt"
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Endpoint is one end of a connection: a pod, a node, or with neither set an
// address outside the cluster.
type Endpoint struct {
	Addr netip.Addr
	// Pod is the pod that has the address; also one on its node's network, which
	// then stands for its node.
	Pod  *cluster.Pod
	Node string // the node that has the address; empty: it is not a node's
}

// String is "namespace/pod", "node/name" or "ip/address".
func (e Endpoint) String() string {
	switch {
	case e.Pod != nil:
		return e.Pod.Name.String()
	case e.Node != "":
		return "node/" + e.Node
	}
	return "ip/" + e.Addr.String()
}

// MarshalText writes the endpoint as String does.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// NetworkPod is the pod if it is on the pod network, where policies apply. A pod
// on its node's network is its node, and no selector picks it.
func (e Endpoint) NetworkPod() *cluster.Pod {
	if e.Pod == nil || e.Pod.HostNetwork {
		return nil
	}
	return e.Pod
}

// Host is the name of the node that the endpoint is; empty: it is none.
func (e Endpoint) Host() string {
	if e.Pod != nil && e.Pod.HostNetwork {
		return e.Pod.Node
	}
	return e.Node
}

// Connection is a connection's first packet where policy judges it: after the
// translation of a service's address to a backend's.
type Connection struct {
	From     Endpoint         `json:"from"`
	To       Endpoint         `json:"to"`
	Protocol traffic.Protocol `json:"protocol"`
	Port     uint16           `json:"port"` // at To; of ICMP its type and code (traffic.ICMPPort), of others without ports zero
	// Asked is where the connection was to go before translation; the zero value:
	// to To and Port.
	Asked netip.AddrPort `json:"asked,omitzero"`
	// Request and Query are what the connection carries: an HTTP request, or a
	// query for a domain name. With neither, the verdict on a connection whose
	// content matters is to inspect it.
	Request *l7.Request `json:"request,omitempty"`
	Query   string      `json:"query,omitempty"`
}

// String is "shop/frontend -> shop/backend TCP 8080".
func (c Connection) String() string {
	return fmt.Sprintf("%s -> %s %s", c.From, c.To, c.what())
}

// what is the protocol and port: "TCP 8080" or "ICMP".
func (c Connection) what() string {
	if !c.Protocol.HasPorts() {
		return c.Protocol.String()
	}
	return fmt.Sprintf("%s %d", c.Protocol, c.Port)
}

// subject is the end that policies of a direction protect, other is the one
// that their peers speak of.
func (c Connection) subject(d traffic.Direction) Endpoint {
	if d == traffic.Ingress {
		return c.To
	}
	return c.From
}

func (c Connection) other(d traffic.Direction) Endpoint {
	if d == traffic.Ingress {
		return c.From
	}
	return c.To
}

// Result is what becomes of a connection: it needs both directions.
type Result struct {
	Verdict traffic.Verdict `json:"verdict"`
	Egress  Decision        `json:"egress"`  // of the source
	Ingress Decision        `json:"ingress"` // at the destination
	// Forward is what policies on hosts say where nodes pass the connection on.
	Forward []ForwardDecision `json:"forward,omitempty"`
}

// ForwardDecision is a decision at a node that passes a connection on.
type ForwardDecision struct {
	Node      string            `json:"node"`
	Direction traffic.Direction `json:"-"` // as seen from the node's device
	Decision
}

// Decision is one direction's verdict and why.
type Decision struct {
	Verdict traffic.Verdict `json:"verdict"`
	// Reason is a sentence for people.
	Reason string `json:"reason"`
	// Tier is the one that decided; empty: none did.
	Tier string `json:"tier,omitempty"`
	// Policy is the one that decided: whose rule it was, or that isolates the
	// pod all alone. Its zero value: none, or several that isolate together.
	Policy policy.Ref `json:"policy,omitzero"`
	// Rule is the number of the rule that decided, from 0; nil: no rule did.
	Rule *int `json:"rule,omitempty"`
	// Policies are all that played a part: that allow, deny, pass or log the
	// connection, or isolate the pod in vain.
	Policies []policy.Ref `json:"policies,omitempty"`
	// Steps are what each tier did that has policies for the pod.
	Steps []string `json:"steps,omitempty"`
	// Hints are rules that came close to allowing what is denied.
	Hints []string `json:"hints,omitempty"`
}

// Evaluate judges one connection. Who asks more than once prepares an Evaluator.
func Evaluate(snapshot *cluster.Snapshot, set *policy.Set, c Connection) Result {
	return New(snapshot, set).Evaluate(c)
}
