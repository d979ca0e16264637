package crds

import (
	"fmt"
	"maps"
	"strings"
)

// limits are what the APIs' own definitions check, by kind, then by path; [] is a
// list's items. A path ends in the names of what is checked alike, with a comma
// between. Paths that a kind does not have are a mistake.
type limits []struct {
	path string
	set  map[string]any
}

type m = map[string]any

func oneOf(values ...any) m { return m{"enum": values} }
func required(names ...any) m {
	return m{"required": names}
}

// oneField is an object with exactly one field.
var oneField = m{"minProperties": 1, "maxProperties": 1}

func items(least, most int) m {
	set := m{"maxItems": most}
	if least > 0 {
		set["minItems"] = least
	}
	return set
}

func rule(cel, message string) m {
	return m{"x-kubernetes-validations": []any{m{"rule": cel, "message": message}}}
}

var (
	portNumber = m{"minimum": 1, "maximum": 65535}
	// network is a block of addresses; its length keeps the rule cheap.
	network = join(m{"maxLength": 43}, rule("isCIDR(self)", "Invalid CIDR format provided"))
	// domain has two labels or more, of which the first may be *. A-z is the API's.
	domain = m{"pattern": `^(\*\.)?([a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$`}
)

func join(sets ...m) m {
	all := m{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}

var perKind = map[string]limits{
	"ClusterNetworkPolicy": append(clusterRules("protocols", 25, "Accept", "Deny", "Pass"), limits{
		{"", required("metadata", "spec")},
		{"spec", required("priority", "subject", "tier")},
		{"spec.tier", oneOf("Admin", "Baseline")},
		{"spec.priority", m{"minimum": 0, "maximum": 1000}},
		{"spec.ingress[].protocols[],spec.egress[].protocols[]", oneField},
		{"spec.ingress[].protocols[].{tcp,udp,sctp},spec.egress[].protocols[].{tcp,udp,sctp}", m{"minProperties": 1}},
		{"spec.ingress[].protocols[].{tcp,udp,sctp}.destinationPort,spec.egress[].protocols[].{tcp,udp,sctp}.destinationPort", oneField},
		{"spec.ingress[].protocols[].{tcp,udp,sctp}.destinationPort.number,spec.egress[].protocols[].{tcp,udp,sctp}.destinationPort.number", portNumber},
		{"spec.ingress[].protocols[].{tcp,udp,sctp}.destinationPort.range,spec.egress[].protocols[].{tcp,udp,sctp}.destinationPort.range",
			join(required("start", "end"), rule("self.start < self.end", "Start port must be less than End port"))},
		{"spec.ingress[].protocols[].{tcp,udp,sctp}.destinationPort.range.{start,end},spec.egress[].protocols[].{tcp,udp,sctp}.destinationPort.range.{start,end}", portNumber},
		{"spec.egress[]", join(required("action", "to"), rule(
			"!(self.to.exists(peer, has(peer.networks) || has(peer.nodes) || has(peer.domainNames)) && has(self.protocols) && self.protocols.exists(protocol, has(protocol.destinationNamedPort)))",
			"networks/nodes/domainNames peer cannot be set with namedPorts since there are no namedPorts for them"))},
	}...),
	"AdminNetworkPolicy": append(clusterRules("ports", 100, "Allow", "Deny", "Pass"), limits{
		{"", required("metadata", "spec")},
		{"spec", required("priority", "subject")},
		{"spec.priority", m{"minimum": 0, "maximum": 1000}},
	}...),
	"BaselineAdminNetworkPolicy": append(clusterRules("ports", 100, "Allow", "Deny"), limits{
		{"", join(required("metadata", "spec"), rule("self.metadata.name == 'default'", `Only one baseline admin network policy with metadata.name="default" can be created in the cluster`))},
		{"spec", required("subject")},
	}...),
	"NetworkPolicy":             calicoRules,
	"GlobalNetworkPolicy":       calicoRules,
	"StagedNetworkPolicy":       append(calicoRules[:len(calicoRules):len(calicoRules)], staged...),
	"StagedGlobalNetworkPolicy": append(calicoRules[:len(calicoRules):len(calicoRules)], staged...),
	"StagedKubernetesNetworkPolicy": append(limits{
		{"spec.policyTypes[]", oneOf("Ingress", "Egress")},
	}, staged...),
	"Tier":         {{"spec.defaultAction", oneOf("Pass", "Deny")}},
	"HostEndpoint": {{"spec.ports[].port", portNumber}},

	"CiliumNetworkPolicy":            ciliumRules,
	"CiliumClusterwideNetworkPolicy": ciliumRules,
	"CiliumCIDRGroup":                {{"spec", required("externalCIDRs")}},
}

// clusterRules are what the cluster-wide policies of policy.networking.k8s.io have
// alike.
func clusterRules(ports string, most int, actions ...any) limits {
	all := limits{
		{"spec.subject,spec.ingress[].from[],spec.egress[].to[]", oneField},
		{"spec.ingress,spec.egress", items(0, most)},
		{"spec.ingress[]", required("action", "from")},
		{"spec.egress[]", required("action", "to")},
		{"spec.ingress[].action,spec.egress[].action", oneOf(actions...)},
		{"spec.ingress[].name,spec.egress[].name", m{"maxLength": 100}},
		{"spec.ingress[].from,spec.egress[].to", items(1, most)},
		{"spec.ingress[]." + ports + ",spec.egress[]." + ports, items(map[int]int{25: 1}[most], most)},
		{"spec.egress[].to[].networks", join(items(1, 25), m{"x-kubernetes-list-type": "set"})},
		{"spec.egress[].to[].networks[]", network},
		{"status.conditions", m{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"type"}}},
		{"status.conditions[]", required("type", "status", "reason", "message", "lastTransitionTime")},
		{"status.conditions[].status", oneOf("True", "False", "Unknown")},
		{"status", required("conditions")},
		{"status.conditions[].type", m{"maxLength": 316, "pattern": conditionType}},
		{"status.conditions[].reason", m{"minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"}},
		{"status.conditions[].message", m{"maxLength": 32768}},
		{"status.conditions[].observedGeneration", m{"minimum": 0}},
		{"spec.subject.pods,spec.ingress[].from[].pods,spec.egress[].to[].pods", required("podSelector")},
	}
	if ports == "protocols" {
		all = append(all, limits{
			{"spec.egress[].to[].domainNames", join(items(1, 25), m{"x-kubernetes-list-type": "set"})},
			{"spec.egress[].to[].domainNames[]", domain},
		}...)
	}
	return all
}

// conditionType is a name that may have a domain before it, as metav1.Condition
// says.
const conditionType = `^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$`

const longestSelector = 1024

var calicoRules = limits{
	{"spec.types", items(0, 2)},
	{"spec.types[]", oneOf("Ingress", "Egress")},
	{"spec.selector,spec.serviceAccountSelector", m{"maxLength": longestSelector}},
	{"spec.ingress[],spec.egress[]", required("action")},
	{"spec.ingress[].action,spec.egress[].action", oneOf("Allow", "Deny", "Log", "Pass")},
	{"spec.ingress[].ipVersion,spec.egress[].ipVersion", oneOf(4, 6)},
	{"spec.ingress[].{icmp,notICMP}.type,spec.egress[].{icmp,notICMP}.type", m{"minimum": 0, "maximum": 254}},
	{"spec.ingress[].{icmp,notICMP}.code,spec.egress[].{icmp,notICMP}.code", m{"minimum": 0, "maximum": 255}},
	{"spec.ingress[].{source,destination}.{selector,notSelector,namespaceSelector},spec.egress[].{source,destination}.{selector,notSelector,namespaceSelector}",
		m{"maxLength": longestSelector}},
}

var staged = limits{{"spec.stagedAction", oneOf("Set", "Delete", "Learn", "Ignore")}}

var ciliumRules = ciliumOf("spec", "specs[]")

// ciliumOf is for a policy at each of the paths.
func ciliumOf(paths ...string) limits {
	var all limits
	for _, at := range paths {
		in := "{" + at + "}." // so that one line is for all its lists
		all = append(all, limits{
			{in + "{ingress,ingressDeny,egress,egressDeny}[].toPorts[].ports", items(0, 40)},
			{in + "{ingress,ingressDeny,egress,egressDeny}[].toPorts[].ports[].endPort", m{"minimum": 0, "maximum": 65535}},
			{in + "{ingress,ingressDeny,egress,egressDeny}[].toPorts[].ports[].protocol", oneOf("TCP", "UDP", "SCTP", "VRRP", "IGMP", "ANY")},
			{in + "{ingress,ingressDeny,egress,egressDeny}[].icmps[].fields", items(0, 40)},
			{in + "{ingress,ingressDeny,egress,egressDeny}[].icmps[].fields[].family", oneOf("IPv4", "IPv6")},
			{in + "{ingress,ingressDeny}[].fromEntities[]", entities},
			{in + "{egress,egressDeny}[].toEntities[]", entities},
			{in + "egress[].toFQDNs[].{matchName,matchPattern}", m{"maxLength": 255}},
			{in + "{ingress,egress}[].authentication.mode", oneOf("disabled", "required", "test-always-fail")},
		}...)
	}
	return all
}

var entities = oneOf("all", "world", "world-ipv4", "world-ipv6", "cluster", "host", "init", "ingress",
	"unmanaged", "remote-node", "health", "none", "kube-apiserver")

// limit puts the limits of a kind into its schema.
func limit(kind string, root map[string]any) {
	for _, l := range perKind[kind] {
		for _, path := range expand(l.path) {
			at := root
			for _, step := range steps(path) {
				at = child(at, step)
				if at == nil {
					panic(fmt.Sprintf("%s has no %s", kind, path))
				}
			}
			maps.Copy(at, l.set)
		}
	}
}

// expand writes out what is in braces, and what is between commas outside.
func expand(path string) []string {
	depth := 0
	for i, c := range path {
		switch {
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ',' && depth == 0:
			return append(expand(path[:i]), expand(path[i+1:])...)
		}
	}
	before, rest, found := strings.Cut(path, "{")
	if !found {
		return []string{path}
	}
	choices, after, _ := strings.Cut(rest, "}")
	var all []string
	for choice := range strings.SplitSeq(choices, ",") {
		all = append(all, expand(before+choice+after)...)
	}
	return all
}

func steps(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(strings.ReplaceAll(path, "[]", ".[]"), ".")
}

func child(schema map[string]any, step string) map[string]any {
	if step == "[]" {
		items, _ := schema["items"].(map[string]any)
		return items
	}
	properties, _ := schema["properties"].(map[string]any)
	found, _ := properties[step].(map[string]any)
	return found
}
