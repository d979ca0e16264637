package cilium

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func messages(errs field.ErrorList) string {
	var all []string
	for _, e := range errs {
		all = append(all, e.Error())
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func formatPrefixes(n *policy.Networks) string { return fmt.Sprint(n.Prefixes) }

// What is not enforced is named, lets nothing through and denies no less.
func TestReadGaps(t *testing.T) {
	const (
		rule  = "spec.egress[0]."
		drule = "spec.egressDeny[0]."
		web   = `ports: [{port: "80", protocol: TCP}]`
	)
	for _, row := range []struct{ spec, gap, want string }{
		{out(`{toEndpoints: [{matchLabels: {"reserved:world": "", "cidr:10.0.0.0/8": ""}}]}`), rule + "toEndpoints[0]", "allow any port"},
		{out(`{toEndpoints: [{matchExpressions: [{key: "reserved:host", operator: Exists}, {key: zone, operator: DoesNotExist}]}]}`), "", "allow [own node {!zone}] any port"},
		{out(`{toEndpoints: [{matchExpressions: [{key: "reserved:remote-node", operator: DoesNotExist}, {key: zone, operator: DoesNotExist}]}]}`), rule + "toEndpoints[0]",
			"allow [pods {!zone}] [own node {!zone}] any port"},
		{deny(`{toEndpoints: [{matchLabels: {"reserved:world": "", "cidr:10.0.0.0/8": ""}}]}`), drule + "toEndpoints[0]", "deny any peer any port"},
		{out(`{toGroups: [{aws: {securityGroupsIds: [sg-1]}}]}`), rule + "toGroups", "allow any port"},
		{deny(`{toGroups: [{aws: {region: a}}], toPorts: [{` + web + `}]}`), drule + "toGroups", "deny any peer TCP 80"},
		{out(`{toEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: other}}]}`), rule + "toEndpoints[0]", "allow any port"},
		{deny(`{toEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: other}}]}`), drule + "toEndpoints[0]", "deny [pods namespace=shop] any port"},
		{out(`{toEntities: [all], authentication: {mode: required}}`), rule + "authentication", "allow"},
		{out(`{toEntities: [all], authentication: {mode: disabled}}`), "", "allow any peer any port"},
		{out(`{toPorts: [{` + web + `, rules: {http: [{headerMatches: [{name: a, secret: {name: s}}]}]}}]}`), rule + "toPorts[0].rules.http[0].headerMatches[0].secret", "allow"},
		{out(`{toPorts: [{` + web + `, rules: {kafka: [{topic: a}]}}]}`), rule + "toPorts[0].rules.kafka", "allow"},
		{out(`{toPorts: [{` + web + `, rules: {l7proto: cassandra, l7: [{a: b}]}}]}`), rule + "toPorts[0].rules.l7proto", "allow"},
		{out(`{toPorts: [{` + web + `, serverNames: ["*.example.org"]}]}`), rule + "toPorts[0].serverNames", "allow"},
		{out(`{toPorts: [{` + web + `, terminatingTLS: {secret: {name: a}}}]}`), rule + "toPorts[0].terminatingTLS", "allow"},
		{out(`{toPorts: [{` + web + `, originatingTLS: {secret: {name: a}}}]}`), rule + "toPorts[0].originatingTLS", "allow"},
		{out(`{toPorts: [{` + web + `, listener: {name: l, envoyConfig: {name: e}}}]}`), rule + "toPorts[0].listener", "allow"},
		{`{endpointSelector: {}, ingressDeny: [{fromEntities: [host]}]}`, "spec.ingressDeny[0]", "deny [own node] any port"},
		{`{endpointSelector: {}, ingressDeny: [{toPorts: [{` + web + `}]}]}`, "spec.ingressDeny[0]", "deny any peer TCP 80"},
		{`{endpointSelector: {}, ingressDeny: [{fromEntities: [remote-node]}]}`, "", "deny [other nodes] any port"},
		{`{endpointSelector: {matchLabels: {io.cilium.k8s.policy.cluster: other}}, ingress: [{}]}`, "spec.endpointSelector", "allow"},
	} {
		p, errs := readIn(t, row.spec)
		if len(errs) > 0 {
			t.Errorf("%s: %v", row.spec, errs.ToAggregate())
			continue
		}
		if got := rules(p).Rules[0].String(); got != row.want {
			t.Errorf("%s: %s, want %s", row.spec, got, row.want)
		}
		gap := ""
		if len(p.Gaps) == 1 {
			gap = p.Gaps[0].Field
		}
		if gap != row.gap || len(p.Gaps) > 1 {
			t.Errorf("%s: gaps %v, want %s", row.spec, p.Gaps, row.gap)
		}
	}
}

func TestReadNodePolicies(t *testing.T) {
	for _, row := range []struct{ spec, want, errs string }{
		{`{nodeSelector: {}, ingress: [{}]}`, "pods {nobody} and nodes themselves | ingress isolates (allow)", ""},
		{`{nodeSelector: {matchLabels: {a: b, "reserved:host": ""}}, ingressDeny: [{fromEntities: [all]}]}`,
			"pods {nobody} and nodes themselves {a=b} | ingress isolates (deny any peer any port)", ""},
		{`{nodeSelector: {matchLabels: {"reserved:health": ""}}, ingress: [{}]}`, "pods {nobody} and nodes themselves", ""},
		{`{nodeSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]}`,
			"pods {nobody} and nodes themselves | ingress isolates (allow)", "spec.ingress[0].toPorts[0].rules: Forbidden: are not for nodes but for DNS rules of egress"},
	} {
		p, errs := readWide(t, row.spec)
		if p == nil || p.Text() != row.want || messages(errs) != row.errs || len(p.Gaps) > 0 {
			t.Errorf("%s: %+v, %v", row.spec, p, errs)
		}
	}
	if p, errs := readWide(t, `{nodeSelector: {matchLabels: {":a": b}}, ingress: [{}]}`); p != nil || len(errs) != 1 {
		t.Errorf("%+v, %v", p, errs)
	}
}

// A rule that is not understood allows nobody, and denies everybody.
func TestReadInvalid(t *testing.T) {
	const (
		rule    = "spec.egress[0]"
		nothing = "allow"
		all     = "deny any peer any port"
		web     = `ports: [{port: "80", protocol: TCP}]`
	)
	for _, row := range []struct{ name, spec, errs, want string }{
		{"no rules", `{endpointSelector: {}, ingress: []}`,
			"spec: Required value: give at least one rule in ingress, ingressDeny, egress or egressDeny; ingress: [{}] only isolates", ""},
		{"no subject", `{ingress: [{}]}`, "spec.endpointSelector: Required value: say what the policy protects; {} is every pod", "none"},
		{"two subjects", `{endpointSelector: {}, nodeSelector: {}, ingress: [{}]}`,
			"spec.nodeSelector: Forbidden: cannot be given along with endpointSelector: make two policies", "none"},
		{"nodes in a namespace", `{nodeSelector: {}, ingress: [{}]}`, "spec.nodeSelector: Forbidden: is for CiliumClusterwideNetworkPolicy only", "none"},
		{"log too long", `{endpointSelector: {}, ingress: [{}], log: {value: "` + strings.Repeat("a", 33) + `"}}`,
			"spec.log.value: Too long: may not be more than 32 bytes", "allow"},
		{"label without a key", `{endpointSelector: {}, ingress: [{}], labels: [{key: "", value: a}]}`,
			"spec.labels[0].key: Required value: give the label a key", "allow"},

		{"label value", `{endpointSelector: {matchLabels: {a: "b c"}}, ingress: [{}]}`,
			`spec.endpointSelector.matchLabels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`, "none"},
		{"two sources", out(`{toEndpoints: [{matchLabels: {"k8s:any:a": b}}]}`),
			rule + `.toEndpoints[0].matchLabels: Invalid value: "k8s:any:a": must have one colon at most, between the label's source and its key`, nothing},
		{"no source", out(`{toEndpoints: [{matchLabels: {":a": b}}]}`),
			rule + `.toEndpoints[0].matchLabels: Invalid value: ":a": must have letters and digits as its source before the colon, such as k8s:app`, nothing},
		{"operator", out(`{toEndpoints: [{matchExpressions: [{key: "k8s:a", operator: in, values: [b]}]}]}`),
			rule + `.toEndpoints[0].matchExpressions[0].operator: Invalid value: "in": not a valid selector operator: use In, NotIn, Exists or DoesNotExist, here probably In`, nothing},
		{"no values", deny(`{toNodes: [{matchExpressions: [{key: a, operator: In}]}]}`),
			"spec.egressDeny[0].toNodes[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn': list at least one, or use Exists or DoesNotExist", all},

		{"two kinds of peers", out(`{toCIDR: [10.0.0.0/8], toEntities: [world]}`),
			rule + ": Forbidden: must have one kind of peers, has toCIDR and toEntities: make them rules of their own", nothing},
		{"denied", deny(`{toCIDR: [10.0.0.0/8], toEntities: [world]}`),
			"spec.egressDeny[0]: Forbidden: must have one kind of peers, has toCIDR and toEntities: make them rules of their own", all},
		{"requires", out(`{toRequires: [a], toEndpoints: [{}]}`), rule + ".toRequires: Forbidden: is no more: let endpoint selectors ask for the labels", nothing},
		{"entity", out(`{toEntities: [wold]}`),
			rule + `.toEntities[0]: Unsupported value: "wold": supported values: "all", "cluster", "cluster-mesh", "health", "host", "ingress", "init", "kube-apiserver", "none", "remote-node", "unmanaged", "world", "world-ipv4", "world-ipv6"`, nothing},
		{"block", out(`{toCIDR: [10.0.0.0/33]}`), rule + `.toCIDR[0]: Invalid value: "10.0.0.0/33": must be a valid CIDR, for example 10.9.8.0/24 or 2001:db8::/64`, nothing},
		{"address in a set", out(`{toCIDRSet: [{cidr: 10.0.0.1}]}`), rule + `.toCIDRSet[0].cidr: Invalid value: "10.0.0.1": must be a CIDR: for this one address write 10.0.0.1/32`, nothing},
		{"exception outside", out(`{toCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}`), rule + `.toCIDRSet[0].except: Invalid value: "11.0.0.0/16": must lie in cidr 10.0.0.0/8`, nothing},
		{"wider exception", deny(`{toCIDRSet: [{cidr: 10.0.0.0/16, except: [10.0.0.0/8]}]}`), `spec.egressDeny[0].toCIDRSet[0].except: Invalid value: "10.0.0.0/8": must lie in cidr 10.0.0.0/16`, all},
		{"no block", out(`{toCIDRSet: [{except: [10.0.0.0/8]}]}`), rule + ".toCIDRSet[0]: Required value: give one of cidr, cidrGroupRef or cidrGroupSelector", nothing},
		{"block and group", out(`{toCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: a}]}`),
			rule + ".toCIDRSet[0]: Forbidden: must have exactly one of cidr, cidrGroupRef and cidrGroupSelector: make them entries of their own", nothing},
		{"no service", out(`{toServices: [{}]}`), rule + ".toServices[0]: Required value: give k8sService or k8sServiceSelector", nothing},
		{"service without a name", out(`{toServices: [{k8sService: {namespace: a}}]}`), rule + ".toServices[0].k8sService.serviceName: Required value: give the service's name", nothing},
		{"authentication", out(`{authentication: {mode: strict}}`), rule + `.authentication.mode: Unsupported value: "strict": supported values: "disabled", "required", "test-always-fail"`, nothing},

		{"no port", out(`{toPorts: [{ports: [{protocol: TCP}]}]}`), rule + `.toPorts[0].ports[0].port: Required value: give a number or a name; "0" is every port`, nothing},
		{"port too high", out(`{toPorts: [{ports: [{port: "65536"}]}]}`),
			rule + `.toPorts[0].ports[0].port: Invalid value: "65536": must be a number from 0 to 65535, or a name of at most 15 letters, digits and dashes`, nothing},
		{"end too high", out(`{toPorts: [{ports: [{port: "1", endPort: 65536}]}]}`), rule + ".toPorts[0].ports[0].endPort: Invalid value: 65536: must be between 0 and 65535, inclusive", nothing},
		{"small letters", out(`{toPorts: [{ports: [{port: "1", protocol: tcp}]}]}`), rule + `.toPorts[0].ports[0].protocol: Invalid value: "tcp": write it in capitals: TCP`, nothing},
		{"protocol", out(`{toPorts: [{ports: [{port: "1", protocol: ICMP}]}]}`),
			rule + `.toPorts[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP", "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH", "ANY"`, nothing},
		{"a tunnel's port", out(`{toPorts: [{ports: [{port: "1", protocol: GRE}]}]}`), rule + ".toPorts[0].ports[0].port: Forbidden: the protocol has no ports: remove it", nothing},
		{"too many ports", out(`{toPorts: [{ports: [` + strings.Repeat(`{port: "80", protocol: TCP},`, 41) + `]}]}`),
			rule + ".toPorts[0].ports: Too many: 41: must have at most 40 items", "allow any peer" + strings.Repeat(" TCP 80", 41)},
		{"ports and ICMP", out(`{toPorts: [{` + web + `}], icmps: [{fields: [{type: 8}]}]}`), rule + ".icmps: Forbidden: cannot be given along with toPorts: make two rules", nothing},
		{"ICMP type", out(`{icmps: [{fields: [{type: 256}]}]}`),
			rule + `.icmps[0].fields[0].type: Invalid value: "256": must be a number from 0 to 255 or the name of a type of ICMP, such as EchoRequest`, nothing},
		{"ICMP type of the other family", out(`{icmps: [{fields: [{type: PacketTooBig}]}]}`),
			rule + `.icmps[0].fields[0].type: Invalid value: "PacketTooBig": is a type of ICMPv6: say family: IPv6 for it`, nothing},
		{"ICMP family", out(`{icmps: [{fields: [{type: 8, family: v4}]}]}`), rule + `.icmps[0].fields[0].family: Unsupported value: "v4": supported values: "IPv4", "IPv6"`, nothing},
		{"no ICMP type", out(`{icmps: [{fields: [{family: IPv4}]}]}`), rule + ".icmps[0].fields[0].type: Required value: give a number or a name such as EchoRequest", nothing},
	} {
		t.Run(row.name, func(t *testing.T) {
			p, errs := readIn(t, row.spec)
			if got := messages(errs); got != row.errs {
				t.Errorf("errors\n got  %s\n want %s", got, row.errs)
			}
			got := "none"
			if p != nil {
				got = ""
				if d := rules(p); d != nil {
					got = d.Rules[0].String()
				}
			}
			if got != row.want {
				t.Errorf("rule\n got  %s\n want %s", got, row.want)
			}
		})
	}
}

func TestReadInvalidContent(t *testing.T) {
	const at = "spec.egress[0].toPorts[0]."
	web := func(more string) string {
		return out(`{toPorts: [{ports: [{port: "80", protocol: TCP}], ` + more + `}]}`)
	}
	for _, row := range []struct{ spec, errs string }{
		{web(`rules: {http: [{path: "/(a"}]}`), at + "rules.http[0].path: Invalid value: \"/(a\": must be a regular expression as RE2 knows them: error parsing regexp: missing closing ): `/(a`"},
		{web(`rules: {http: [{headerMatches: [{name: "", mismatch: Log, secret: {name: ""}}]}]}`),
			at + `rules.http[0].headerMatches[0].mismatch: Unsupported value: "Log": supported values: "LOG", "ADD", "DELETE", "REPLACE"; ` +
				at + "rules.http[0].headerMatches[0].name: Required value: name the header; " +
				at + "rules.http[0].headerMatches[0].secret.name: Required value: name the secret with the header's value"},
		{web(`rules: {http: [{}], dns: [{matchName: a}]}`), at + "rules: Forbidden: must have one kind of rules: make them entries of their own"},
		{web(`rules: {dns: [{matchName: a..b}]}`), at + `rules.dns[0].matchName: Invalid value: "a..b": must be a domain name; for patterns with * there is matchPattern`},
		{web(`rules: {dns: [{matchName: ` + strings.Repeat("a", 64) + `}]}`),
			at + `rules.dns[0].matchName: Invalid value: "` + strings.Repeat("a", 64) + `": name "` + strings.Repeat("a", 64) + `": label "` + strings.Repeat("a", 64) + `" has 64 characters, 63 is the most`},
		{web(`rules: {dns: [{}]}`), at + "rules.dns[0]: Required value: give matchName or matchPattern"},
		{web(`rules: {dns: [{matchName: a, matchPattern: b}]}`), at + "rules.dns[0]: Forbidden: must have one of matchName and matchPattern: make them entries of their own"},
		{web(`rules: {dns: [{matchName: "*.a"}]}`), at + `rules.dns[0].matchName: Invalid value: "*.a": must be a domain name; for patterns with * there is matchPattern`},
		{web(`rules: {dns: [{matchPattern: "[a]"}]}`),
			at + `rules.dns[0].matchPattern: Invalid value: "[a]": must be a domain name in which * stands for letters of a label, and a leading **. for one label or more`},
		{web(`serverNames: []`), at + "serverNames: Required value: list at least one, or remove the field"},
		{web(`serverNames: [a, a]`), at + `serverNames[1]: Duplicate value: "a"`},
		{web(`serverNames: [a], rules: {http: [{}]}`), at + "serverNames: Forbidden: cannot be given along with rules unless terminatingTLS is"},
		{web(`terminatingTLS: {secret: {name: ""}}`), at + "terminatingTLS.secret.name: Required value: name the secret with the certificates"},
		{web(`listener: {name: a, envoyConfig: {name: b, kind: c}}`), at + `listener.envoyConfig.kind: Unsupported value: "c": supported values: "CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"`},
		{web(`listener: {name: a, envoyConfig: {name: b}, priority: 101}`), at + "listener.priority: Invalid value: 101: must be between 1 and 100, inclusive"},
		{out(`{toPorts: [{ports: [{port: "80"}], rules: {http: [{}]}}]}`), at + `ports[0].protocol: Invalid value: "": must be TCP where requests are looked at`},
		{out(`{toPorts: [{ports: [{port: "0", protocol: TCP}], rules: {http: [{}]}}]}`), at + `ports[0].port: Invalid value: "0": must be a port where requests are looked at`},
		{out(`{toPorts: [{rules: {dns: [{matchName: a}]}}]}`), at + "rules.dns: Required value: needs the port in ports, such as 53"},
		{out(`{toPorts: [{ports: [{port: "53", endPort: 54}], rules: {dns: [{matchName: a}]}}]}`), at + "ports[0].endPort: Forbidden: DNS rules are for single ports"},
		{out(`{toFQDNs: [{matchName: "a b"}]}`), `spec.egress[0].toFQDNs[0].matchName: Invalid value: "a b": must be a domain name; for patterns with * there is matchPattern`},
		{in(`{toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchName: a}]}}]}`), "spec.ingress[0].toPorts[0].rules.dns: Forbidden: is for egress only"},
		{in(`{toPorts: [{ports: [{port: "53"}], listener: {name: a, envoyConfig: {name: b}}}]}`), "spec.ingress[0].toPorts[0].listener: Forbidden: is for egress only"},
	} {
		p, errs := readIn(t, row.spec)
		if got := messages(errs); got != row.errs {
			t.Errorf("%s\n got  %s\n want %s", row.spec, got, row.errs)
		}
		if got := rules(p).Rules[0].String(); got != "allow" {
			t.Errorf("%s: %s, want nothing allowed", row.spec, got)
		}
	}
}
