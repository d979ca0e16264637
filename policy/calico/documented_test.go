package calico_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/explanation"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Where the documented cases come from; the pages are those of Calico 3.32.
const (
	tierPage    = "https://docs.tigera.io/calico/latest/reference/resources/tier"
	tieredPage  = "https://docs.tigera.io/calico/latest/network-policy/policy-tiers/tiered-policy"
	policyPage  = "https://docs.tigera.io/calico/latest/reference/resources/networkpolicy"
	globalPage  = "https://docs.tigera.io/calico/latest/reference/resources/globalnetworkpolicy"
	setPage     = "https://docs.tigera.io/calico/latest/reference/resources/globalnetworkset"
	servicePage = "https://docs.tigera.io/calico/latest/network-policy/policy-rules/service-policy"
	accountPage = "https://docs.tigera.io/calico/latest/network-policy/policy-rules/service-accounts"
	icmpPage    = "https://docs.tigera.io/calico/latest/network-policy/policy-rules/icmp-ping"
	stagedPage  = "https://docs.tigera.io/calico/latest/network-policy/staged-network-policies"
	sorter      = "projectcalico/calico felix/calc/policy_sorter.go"
	validator   = "projectcalico/calico libcalico-go/lib/validator/v3/validator.go"
	processor   = "projectcalico/calico libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go"
)

// documentedCluster is what the cases ask about.
const documentedCluster = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {tenant: a}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop, labels: {reads: orders}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web, color: red}}, spec: {serviceAccountName: web, containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}, spec: {containers: [{name: c, ports: [{name: sql, containerPort: 5432}]}, {name: d, ports: [{name: sql, containerPort: 53, protocol: UDP}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: tool, namespace: dev, labels: {app: web}}, spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: first}, spec: {order: 10}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: open}, spec: {order: 20, defaultAction: Pass}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: last}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: feed, labels: {feed: bad}}, spec: {nets: [203.0.113.0/24]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: office, namespace: dev, labels: {feed: bad}}, spec: {nets: [198.51.100.0/24]}}
`

// gnp and np are policies for shop/db; what is not given is left to the API.
func gnp(name, spec string) string {
	return "\n---\n{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: " + name + "}, spec: {selector: app == 'db', " + spec + "}}"
}

func np(name, spec string) string {
	return "\n---\n{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: " + name + ", namespace: shop}, spec: {selector: app == 'db', " + spec + "}}"
}

const kubernetesOpen = "\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: open, namespace: shop}, spec: {podSelector: {}, ingress: [{}]}}"

const (
	allow = "ingress: [{action: Allow}]"
	deny  = "ingress: [{action: Deny}]"
	pass  = "ingress: [{action: Pass}]"
)

// Each row is what Calico's documentation or source says of a connection; where
// none is given it is shop/web -> shop/db TCP 5432.
var documented = []struct{ source, says, policies, connection, want string }{
	// Order.
	{policyPage, "the lowest order is asked first", np("a", "order: 20, "+deny) + np("b", "order: 10, "+allow), "", "allow"},
	{policyPage, "order may be negative and broken", np("a", "order: -0.5, "+deny) + np("b", "order: 0, "+allow), "", "deny"},
	{policyPage, "without order a policy is the last", np("a", deny) + np("b", "order: 10000, "+allow), "", "allow"},
	{sorter, "equal orders are asked by name", np("b", "order: 1, "+deny) + np("a", "order: 1, "+allow), "", "allow"},
	{sorter, "global and namespaced policies are of one order", gnp("a", "order: 2, "+deny) + np("b", "order: 1, "+allow), "", "allow"},
	{policyPage, "the first rule that matches decides", np("a", "ingress: [{action: Allow, source: {selector: color == 'red'}}, {action: Deny}]"), "", "allow"},
	{policyPage, "what no rule allows is denied", np("a", "ingress: [{action: Allow, source: {selector: color == 'blue'}}]"), "", "deny"},
	{policyPage, "a direction that types leave out is open", np("a", "types: [Egress]"), "", "allow"},
	{policyPage, "without rules and types a policy is for ingress", np("a", "order: 1"), "", "deny"},
	{policyPage, "a NetworkPolicy of Kubernetes is at order 1000: after", np("a", "order: 999, "+deny) + kubernetesOpen, "", "deny"},
	{policyPage, "a NetworkPolicy of Kubernetes is at order 1000: before", np("a", "order: 1001, "+deny) + kubernetesOpen, "", "allow"},
	{policyPage, "Log goes on with the next rule", np("a", "ingress: [{action: Log}, {action: Allow}]"), "", "allow"},

	// Tiers and Pass.
	{tierPage, "tiers are asked by order: allow ends it", gnp("a", "tier: first, "+allow) + np("b", deny), "", "allow"},
	{tierPage, "tiers are asked by order: deny ends it", gnp("a", "tier: first, "+deny) + np("b", allow), "", "deny"},
	{tierPage, "Pass goes on with the next tier", gnp("a", "tier: first, "+pass) + np("b", deny), "", "deny"},
	{tierPage, "Pass skips the tier's later policies", gnp("a", "tier: first, order: 1, "+pass) + gnp("b", "tier: first, order: 2, "+deny) + np("c", allow), "", "allow"},
	{tierPage, "a tier that applies and takes no action drops", gnp("a", "tier: first, ingress: [{action: Allow, source: {nets: [192.0.2.1/32]}}]") + np("b", allow), "", "deny"},
	{tierPage, "defaultAction Pass goes on instead", gnp("a", "tier: open, ingress: [{action: Deny, source: {nets: [192.0.2.1/32]}}]") + np("b", allow), "", "allow"},
	{tierPage, "a tier none of whose policies applies is passed over", "\n---\n{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: a}, spec: {tier: first, selector: app == 'x'}}" + np("b", allow), "", "allow"},
	{sorter, "a tier without order is the last", gnp("a", "tier: last, "+deny) + np("b", allow), "", "allow"},
	{tieredPage, "after the default tier ends, later tiers are not reached", gnp("a", "tier: last, "+allow) + np("b", "ingress: []"), "", "deny"},
	{tieredPage, "the default tier passes on by Pass", gnp("a", "tier: last, "+deny) + np("b", pass), "", "deny"},
	{tieredPage, "a namespace's profile allows what all tiers pass", gnp("a", "tier: first, "+pass), "", "allow"},
	{tieredPage, "NetworkPolicies are in the default tier", gnp("a", "tier: first, "+deny) + kubernetesOpen, "", "deny"},

	// Selectors, as the policies' pages list them.
	{policyPage, "!= holds where the label is absent", np("a", "ingress: [{action: Allow, source: {selector: color != 'blue'}}]"), "", "allow"},
	{policyPage, "not in holds where the label is absent", np("a", "ingress: [{action: Allow, source: {selector: \"size not in {'s', 'm'}\"}}]"), "", "allow"},
	{policyPage, "in needs the label", np("a", "ingress: [{action: Allow, source: {selector: \"size in {'s', 'm'}\"}}]"), "", "deny"},
	{policyPage, "has, ! and && bind tighter than ||", np("a", "ingress: [{action: Allow, source: {selector: \"has(color) || has(color) && !has(color)\"}}]"), "", "allow"},
	{policyPage, "contains, starts with, ends with", np("a", "ingress: [{action: Allow, source: {selector: color contains 'e' && color starts with 'r' && color ends with 'd'}}]"), "", "allow"},
	{policyPage, "a selector of a namespace's policy means its namespace", np("a", "ingress: [{action: Allow, source: {selector: app == 'web'}}]"), "dev/tool", "deny"},
	{policyPage, "a namespaceSelector means others", np("a", "ingress: [{action: Allow, source: {namespaceSelector: projectcalico.org/name == 'dev', selector: app == 'web'}}]"), "dev/tool", "allow"},
	{globalPage, "a selector of a cluster-wide policy means all namespaces", gnp("a", "ingress: [{action: Allow, source: {selector: app == 'web'}}]"), "dev/tool", "allow"},
	{policyPage, "global() is what is in no namespace", np("a", "ingress: [{action: Allow, source: {namespaceSelector: global()}}]"), "shop/web", "deny"},
	{policyPage, "notSelector leaves the outside in", gnp("a", "ingress: [{action: Allow, source: {notSelector: has(color)}}]"), "ip/192.0.2.9", "allow"},
	{policyPage, "a selector with ! leaves the outside out", gnp("a", "ingress: [{action: Allow, source: {selector: '!has(color)'}}]"), "ip/192.0.2.9", "deny"},
	{processor, "notSelector alone keeps a namespace's policy to its namespace", np("a", "ingress: [{action: Allow, source: {notSelector: color == 'blue'}}]"), "dev/tool", "deny"},
	{policyPage, "nets and selector must both hold", np("a", "ingress: [{action: Allow, source: {selector: app == 'web', nets: [192.0.2.0/24]}}]"), "", "deny"},

	// Network sets.
	{setPage, "a selector picks global sets by their labels", gnp("a", "ingress: [{action: Allow, source: {selector: feed == 'bad'}}]"), "ip/203.0.113.9", "allow"},
	{setPage, "a namespace's policy means global sets by global()", np("a", "ingress: [{action: Allow, source: {namespaceSelector: global(), selector: feed == 'bad'}}]"), "ip/203.0.113.9", "allow"},
	{setPage, "and without it only those of its namespace", np("a", "ingress: [{action: Allow, source: {selector: feed == 'bad'}}]"), "ip/203.0.113.9", "deny"},
	{setPage, "a namespace's sets are picked by its namespaceSelector", np("a", "ingress: [{action: Allow, source: {namespaceSelector: projectcalico.org/name == 'dev', selector: feed == 'bad'}}]"), "ip/198.51.100.9", "allow"},
	{setPage, "a set has no other addresses", gnp("a", "ingress: [{action: Allow, source: {selector: feed == 'bad'}}]"), "ip/192.0.2.9", "deny"},

	// Service accounts, services, ports, ICMP.
	{accountPage, "serviceAccounts picks by name", np("a", "ingress: [{action: Allow, source: {serviceAccounts: {names: [web]}}}]"), "", "allow"},
	{accountPage, "serviceAccounts picks by label", np("a", "ingress: [{action: Allow, source: {serviceAccounts: {selector: reads == 'orders'}}}]"), "", "allow"},
	{accountPage, "of the policy's namespace", np("a", "ingress: [{action: Allow, source: {serviceAccounts: {names: [default]}}}]"), "dev/tool", "deny"},
	{servicePage, "a service as source is its endpoints", np("a", "ingress: [{action: Deny, source: {services: {name: db}}}, {action: Allow}]"), "", "allow"},
	{servicePage, "a service as destination is its endpoints at their ports", webOut("destination: {services: {name: db}}"), "", "allow"},
	{servicePage, "and not at others", webOut("destination: {services: {name: db}}"), "TCP 5433", "deny"},
	{policyPage, "a port's name is the destination's, with the rule's protocol", np("a", "ingress: [{action: Allow, protocol: TCP, destination: {ports: [sql]}}]"), "", "allow"},
	{policyPage, "and no other protocol's", np("a", "ingress: [{action: Allow, protocol: TCP, destination: {ports: [sql]}}]"), "TCP 53", "deny"},
	{policyPage, "ranges of ports hold both ends", np("a", "ingress: [{action: Allow, protocol: TCP, destination: {ports: ['5000:5432']}}]"), "", "allow"},
	{policyPage, "notPorts leaves out", np("a", "ingress: [{action: Allow, protocol: TCP, destination: {notPorts: [5432]}}]"), "", "deny"},
	{policyPage, "notProtocol leaves out", np("a", "ingress: [{action: Allow, notProtocol: TCP}]"), "", "deny"},
	{icmpPage, "ICMP without a type is all of it", np("a", "ingress: [{action: Allow, protocol: ICMP}]"), "ICMP", "allow"},
	{policyPage, "ipVersion 6 does not match IPv4", np("a", "ingress: [{action: Allow, ipVersion: 6}]"), "", "deny"},

	// Staged policies.
	{stagedPage, "staged policies are not enforced", np("a", allow) + strings.Replace(np("a", deny), "kind: NetworkPolicy", "kind: StagedNetworkPolicy", 1), "", "allow"},
	{tierPage, "a tier with staged policies alone is passed over", strings.Replace(gnp("a", "tier: first, "+deny), "kind: Global", "kind: StagedGlobal", 1), "", "allow"},
}

// webOut is a policy for what shop/web may reach.
func webOut(rule string) string {
	return "\n---\n{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: out, namespace: shop}, spec: {selector: app == 'web', egress: [{action: Allow, " + rule + "}]}}"
}

func TestDocumentedCases(t *testing.T) {
	for i, row := range documented {
		t.Run(row.says, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "in.yaml")
			if err := os.WriteFile(file, []byte(documentedCluster+row.policies), 0o644); err != nil {
				t.Fatal(err)
			}
			bundle, err := manifest.Load([]string{file}, manifest.Options{}, nil)
			if err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
			x, err := explanation.New(bundle.Snapshot, bundle.Policies, question(t, row.connection))
			if err != nil {
				t.Fatal(err)
			}
			if x.Verdict.String() != row.want {
				t.Errorf("%s (%s): %s, want %s\n%s\n%s", row.says, row.source, x.Verdict, row.want, x.Egress.Reason, x.Ingress.Reason)
			}
		})
	}
}

// question is shop/web -> shop/db TCP 5432 but for what the text names: another
// source, another port, another protocol.
func question(t *testing.T, text string) explanation.Question {
	q := explanation.Question{From: "shop/web", To: "shop/db", Protocol: traffic.TCP, Port: "5432"}
	words := strings.Fields(text)
	switch {
	case len(words) == 1 && strings.Contains(text, "/"):
		q.From = text
	case len(words) > 0:
		protocol, err := traffic.ParseProtocol(words[0])
		if err != nil {
			t.Fatal(err)
		}
		if q.Protocol, q.Port = protocol, ""; len(words) == 2 {
			if _, err := strconv.Atoi(words[1]); err != nil {
				t.Fatal(err)
			}
			q.Port = words[1]
		}
	}
	return q
}

// Some policies are refused whatever they would do.
func TestDocumentedRefusals(t *testing.T) {
	for _, row := range []struct{ source, says, policy, field string }{
		{validator, "services are not for the source of egress rules", np("a", "egress: [{action: Allow, source: {services: {name: db}}}]"), "spec.egress[0].source.services"},
		{validator, "services are not for the destination of ingress rules", np("a", "ingress: [{action: Allow, destination: {services: {name: db}}}]"), "spec.ingress[0].destination.services"},
		{validator, "a service brings its ports along", np("a", "egress: [{action: Allow, protocol: TCP, destination: {services: {name: db}, ports: [1]}}]"), "spec.egress[0].destination.ports"},
		{validator, "blocks of both families are not for one rule", np("a", "ingress: [{action: Allow, source: {nets: [10.0.0.0/8, '::/0']}}]"), "spec.ingress[0].source.nets"},
		{validator, "ports need a protocol that has them", np("a", "ingress: [{action: Allow, destination: {ports: [1]}}]"), "spec.ingress[0].destination.ports"},
		{validator, "the default tier has its order", "\n---\n{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: default}, spec: {order: 1}}", "spec.order"},
		{tieredPage, "a policy names a tier that exists", np("a", "tier: none"), "spec.tier"},
	} {
		file := filepath.Join(t.TempDir(), "in.yaml")
		if err := os.WriteFile(file, []byte(documentedCluster+row.policy), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := manifest.Load([]string{file}, manifest.Options{}, nil)
		if err == nil || !strings.Contains(err.Error(), row.field+": ") {
			t.Errorf("%s (%s): got %v, want an error at %s", row.says, row.source, err, row.field)
		}
	}
}
