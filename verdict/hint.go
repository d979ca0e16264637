package verdict

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// mostHints bounds how much a denial says of what nearly allowed it.
const mostHints = 3

// hints are the rules of a tier that miss the connection by one condition, the
// port, the labels or the namespace. Rules that miss it by more are no help.
func (e *Evaluator) hints(s *stage, q *question) []string {
	var byPort, byPeer []string
	d := q.direction
	for _, p := range s.policies {
		for i := range p.In(d).Rules {
			ev := event{s, p, i}
			rule := &p.In(d).Rules[i]
			if rule.Action != policy.Allow || !q.matchesSelf(rule) {
				continue
			}
			if q.matchesPeer(rule) && len(rule.Ports) > 0 {
				byPort = append(byPort, ev.portHint(rule, q))
			} else if q.matchesPort(rule) {
				byPeer = append(byPeer, e.peerHints(ev, rule, q.Connection.other(d), d)...)
			}
		}
	}
	all := append(byPort, byPeer...)
	return all[:min(mostHints, len(all))]
}

func (ev event) portHint(rule *policy.Rule, q *question) string {
	return fmt.Sprintf("%s allows %s on %s only", ev.ruleName(q.direction), q.Connection.other(q.direction), q.portsWords(rule)+contentWords(rule))
}

func (e *Evaluator) peerHints(ev event, rule *policy.Rule, other Endpoint, d traffic.Direction) []string {
	var found []string
	for _, peer := range rule.Peers {
		if miss := e.miss(peer, other); miss != "" {
			found = append(found, fmt.Sprintf("%s allows %s; %s", ev.ruleName(d), peerWords(peer), miss))
		}
	}
	return found
}

// miss is the one condition that keeps a peer from picking the endpoint; empty
// if it is more than one, or not easily said.
func (e *Evaluator) miss(peer policy.Peer, other Endpoint) string {
	switch {
	case len(peer.And)+len(peer.Not) > 0:
		return ""
	case peer.CIDR != nil:
		return blockMiss(*peer.CIDR, other)
	case peer.Pods != nil && other.NetworkPod() != nil:
		return e.podMiss(*peer.Pods, other)
	case peer.Pods != nil && other.Pod != nil:
		return e.hostNetworkMiss(*peer.Pods, other)
	}
	return ""
}

// blockMiss is an exception, or all addresses of the other family: who writes
// 0.0.0.0/0 often means everybody.
func blockMiss(block policy.CIDR, other Endpoint) string {
	if block.Prefix.Bits() == 0 && block.Prefix.Addr().Is4() != other.Addr.Is4() {
		return fmt.Sprintf("%s is not of that address family", other.Addr)
	}
	i := slices.IndexFunc(block.Except, func(p netip.Prefix) bool { return p.Contains(other.Addr) })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("%s is in %s", other, block.Except[i])
}

func (e *Evaluator) podMiss(s policy.PodSelector, other Endpoint) string {
	pod := other.NetworkPod()
	have := e.labels(pod)
	inNamespace := policy.PodSelector{Namespace: s.Namespace, Namespaces: s.Namespaces}.Matches(pod, have)
	hasLabels := policy.PodSelector{Pods: s.Pods}.Matches(pod, have)
	switch {
	case inNamespace && !hasLabels:
		return fmt.Sprintf("%s %s", other, labelMiss(s.Pods, pod.Labels))
	case hasLabels && !inNamespace && s.Namespace != "":
		return fmt.Sprintf("%s is in namespace %s", other, pod.Namespace)
	case hasLabels && !inNamespace:
		return fmt.Sprintf("namespace %s %s", pod.Namespace, labelMiss(s.Namespaces, have.Namespace.Labels))
	}
	return ""
}

// hostNetworkMiss is for a pod that the selector would pick were it not on its
// node's network.
func (e *Evaluator) hostNetworkMiss(s policy.PodSelector, other Endpoint) string {
	if s.Namespace != "" && s.Namespace != other.Pod.Namespace {
		return ""
	}
	if s.Pods != nil && !s.Pods.Matches(e.labels(other.Pod)) {
		return ""
	}
	return fmt.Sprintf("%s is on its node's network, where no selector picks it", other)
}

// labelMiss says how labels differ from what a selector asks for: "has app=web"
// or "has no label app".
func labelMiss(s policy.Selector, have map[string]string) string {
	asking, ok := s.(labels.Selector) // of other languages the requirements are not all
	if !ok {
		return "has other labels"
	}
	requirements, _ := asking.Requirements()
	var has, lacks []string
	for _, r := range requirements {
		value, ok := have[r.Key()]
		switch {
		case r.Matches(labels.Set(have)):
		case ok:
			has = append(has, r.Key()+"="+value)
		default:
			lacks = append(lacks, r.Key())
		}
	}
	var parts []string
	if len(has) > 0 {
		parts = append(parts, "has "+strings.Join(has, ","))
	}
	if len(lacks) > 0 {
		parts = append(parts, "has no label "+strings.Join(lacks, ","))
	}
	return strings.Join(parts, " and ")
}
