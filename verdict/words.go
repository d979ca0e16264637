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
func (q *question) matched(rule *policy.Rule) string {
	peer := "everyone"
	if i := slices.IndexFunc(rule.Peers, func(p policy.Peer) bool { return p.Matches(q.other) }); !rule.AnyPeer && i >= 0 {
		peer = peerWords(rule.Peers[i])
		if s := rule.Peers[i].Services; s != nil && s.Ports && rule.AnyPort {
			return peer + " on " + servedWords(q.other)
		}
	}
	port := "every port"
	if i := slices.IndexFunc(rule.Ports, q.fits); !rule.AnyPort && i >= 0 {
		port = q.portWords(rule.Ports[i])
	}
	return peer + " on " + port + contentWords(rule)
}

// peerWords is a peer as one would say it.
func peerWords(peer policy.Peer) string {
	words := itselfWords(peer)
	for _, p := range peer.And {
		words += " that are " + peerWords(p)
	}
	not, outside := withoutCluster(peer.Not)
	if outside {
		words += " outside the cluster"
	}
	for _, p := range not {
		words += " but not " + peerWords(p)
	}
	return words
}

// withoutCluster takes all pods and all nodes out of what a peer must not be;
// outside: both are there.
func withoutCluster(not []policy.Peer) (rest []policy.Peer, outside bool) {
	var found [2]bool
	for _, p := range not {
		switch p.String() {
		case "pods":
			found[0] = true
		case "nodes":
			found[1] = true
		default:
			rest = append(rest, p)
		}
	}
	if found != [2]bool{true, true} {
		return not, false
	}
	return rest, true
}

func itselfWords(peer policy.Peer) string {
	switch {
	case peer.Pods != nil:
		return podsWords(*peer.Pods)
	case peer.CIDR != nil:
		return strings.Replace(peer.CIDR.String(), " except ", " but for ", 1)
	case peer.Nodes != nil:
		return nodesWords(*peer.Nodes)
	case peer.Networks != nil:
		return networksWords(*peer.Networks)
	case peer.Services != nil:
		return servicesWords(*peer.Services)
	case peer.Names != nil:
		return namesWords(peer.Names)
	case len(peer.And)+len(peer.Not) > 0:
		return "everyone"
	}
	return "nobody"
}

// nodesWords is "all nodes" or "nodes zone=a".
func nodesWords(s policy.NodeSelector) string {
	words := [...]string{policy.AnyNode: "all nodes", policy.OwnNode: "the pod's own node", policy.OtherNode: "other nodes"}[s.Which]
	if text := selectorText(s.Nodes); text != "" {
		return strings.TrimPrefix(words, "all ") + " " + text
	}
	return words
}

// networksWords is "network sets feed=bad" or "network set office".
func networksWords(s policy.NetworkSelector) string {
	words := "all network sets"
	if text := selectorText(s.Networks); text != "" {
		words = "network sets " + text
	}
	if s.Name != "" {
		words = "network set " + s.Name
	}
	return words
}

// servicesWords is "backends of service shop/web".
func servicesWords(s policy.ServiceSelector) string {
	words := "backends of services"
	if text := selectorText(s.Services); text != "" {
		words += " " + text
	}
	switch {
	case s.Name != "" && s.Namespace != "":
		return "backends of service " + s.Namespace + "/" + s.Name
	case s.Name != "":
		return words + " named " + s.Name
	case s.Namespace != "":
		return words + " of namespace " + s.Namespace
	}
	return words
}

// servedWords is the port at which a service has its backend: "TCP 8080, which it
// serves".
func servedWords(e *policy.End) string {
	return fmt.Sprintf("%s %d, which it serves", e.Target.Protocol, e.Target.Number)
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
	return asWritten.Replace(s.String())
}

// asWritten gives what a selector asks of a pod's namespace and service account
// the names that Calico has for it; of labels, no key or value has an "@".
var asWritten = strings.NewReplacer(
	policy.NamespaceLabels, "pcns.", policy.NamespaceKey, "projectcalico.org/namespace",
	policy.AccountLabels, "pcsa.", policy.AccountKey, "projectcalico.org/serviceaccount",
)

// portWords is a rule's port, a name with what it means at the destination.
func (q *question) portWords(port policy.Port) string {
	if port.Name == "" {
		if port.Protocol != traffic.AnyProtocol && port.Protocol.HasPorts() && port.From == 0 && port.To == 0 {
			return "every " + port.String() + " port"
		}
		return port.String()
	}
	if q.To.NetworkPod() == nil && q.host == nil {
		return fmt.Sprintf("%s (only pods have names for ports)", port)
	}
	numbers := q.resolve(port.Name, port.Protocol)
	if len(numbers) == 0 {
		return fmt.Sprintf("%s (no such port on %s)", port, q.To)
	}
	return fmt.Sprintf("%s (%s)", port, strings.Trim(fmt.Sprint(numbers), "[]"))
}

func (q *question) portsWords(rule *policy.Rule) string {
	words := make([]string, len(rule.Ports))
	for i, p := range rule.Ports {
		words[i] = q.portWords(p)
	}
	return strings.Join(words, ", ")
}

// namesWords is "the names api.github.com, *.example.com".
func namesWords(s *policy.NameSelector) string {
	return "the names " + joined(s.Names)
}

// contentWords is " for http method GET" or " for queries of api.github.com";
// empty for a rule that takes any content.
func contentWords(rule *policy.Rule) string {
	switch {
	case len(rule.HTTP) > 0:
		return " for http " + joined(rule.HTTP)
	case len(rule.DNS) > 0:
		return " for queries of " + joined(rule.DNS)
	}
	return ""
}

func joined[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, item := range list {
		words[i] = item.String()
	}
	return strings.Join(words, ", ")
}
