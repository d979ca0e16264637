package verdict

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// matched says what of a rule the connection met: "pods app=web of namespace
// shop on TCP 80".
func (e *Evaluator) matched(rule *policy.Rule, c Connection, d traffic.Direction) string {
	peer := "everyone"
	if i := slices.IndexFunc(rule.Peers, func(p policy.Peer) bool { return e.picks(p, c.other(d)) }); !rule.AnyPeer && i >= 0 {
		peer = peerWords(rule.Peers[i])
	}
	port := "every port"
	if i := slices.IndexFunc(rule.Ports, func(p policy.Port) bool { return fits(p, c) }); !rule.AnyPort && i >= 0 {
		port = portWords(rule.Ports[i], c)
	}
	return peer + " on " + port
}

// peerWords is a peer as one would say it.
func peerWords(peer policy.Peer) string {
	switch {
	case peer.Pods != nil:
		return podsWords(*peer.Pods)
	case peer.CIDR != nil:
		return strings.Replace(peer.CIDR.String(), " except ", " but for ", 1)
	}
	return "nobody"
}

// podsWords is "pods app=web of namespace shop".
func podsWords(s policy.PodSelector) string {
	words := "all pods"
	if text := selectorText(s.Pods); text != "" {
		words = "pods " + text
	}
	if s.Namespace != "" {
		return words + " of namespace " + s.Namespace
	}
	if text := selectorText(s.Namespaces); text != "" {
		return words + " of namespaces " + text
	}
	return words
}

// selectorText is empty for a selector that picks everything.
func selectorText(s policy.Selector) string {
	if s == nil {
		return ""
	}
	return s.String()
}

// portWords is a rule's port, a name with what it means at the destination.
func portWords(port policy.Port, c Connection) string {
	if port.Name == "" {
		if port.Protocol != traffic.AnyProtocol && port.Protocol.HasPorts() && port.From == 0 && port.To == 0 {
			return "every " + port.String() + " port"
		}
		return port.String()
	}
	pod := c.To.NetworkPod()
	if pod == nil {
		return fmt.Sprintf("%s (only pods have names for ports)", port)
	}
	numbers := pod.Resolve(port.Name, port.Protocol)
	if len(numbers) == 0 {
		return fmt.Sprintf("%s (no such port on %s)", port, c.To)
	}
	return fmt.Sprintf("%s (%s)", port, strings.Trim(fmt.Sprint(numbers), "[]"))
}

func portsWords(rule *policy.Rule, c Connection) string {
	words := make([]string, len(rule.Ports))
	for i, p := range rule.Ports {
		words[i] = portWords(p, c)
	}
	return strings.Join(words, ", ")
}
