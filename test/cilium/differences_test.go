package cilium

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/policy/cilium"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// small is two pods of namespace ns-0 on node-0, and a node beside it.
func small() *gen.World {
	w := gen.New(gen.Source(1, 1), gen.Shape{Nodes: 2, Namespaces: 1})
	for _, name := range []string{"a", "b"} {
		p := &cluster.Pod{
			Name: cluster.Name{Namespace: "ns-0", Name: name}, Labels: map[string]string{"app": name},
			ServiceAccount: "default", Node: "node-0",
		}
		p.Addrs = append(p.Addrs, w.Snapshot.Nodes["node-0"].Addrs[0].Next().Next().Next().Next())
		if name == "b" {
			p.Addrs[0] = p.Addrs[0].Next()
		}
		w.SetPod(p)
	}
	return w
}

func objectsOf(t *testing.T, spec string) *gen.CiliumObjects {
	t.Helper()
	p := &cilium.ClusterwideNetworkPolicy{Spec: &cilium.Rule{}}
	p.Name = "p"
	if err := yaml.UnmarshalStrict([]byte(spec), p.Spec); err != nil {
		t.Fatal(err)
	}
	return &gen.CiliumObjects{Clusterwide: []*cilium.ClusterwideNetworkPolicy{p}}
}

// The differences that the package doc of policy/cilium names are there. One that
// goes away is to be taken out of it.
func TestNamedDifferences(t *testing.T) {
	w := small()
	end := func(name string) verdict.Endpoint {
		pod := w.Snapshot.Pods[cluster.Name{Namespace: "ns-0", Name: name}]
		return verdict.Endpoint{Addr: pod.Addrs[0], Pod: pod}
	}
	node := verdict.Endpoint{Addr: w.Snapshot.Nodes["node-0"].Addrs[0], Node: "node-0"}
	for _, row := range []struct {
		name, spec string
		verdict.Connection
		traffic.Direction
	}{
		{"own node is denied", `{endpointSelector: {}, ingressDeny: [{fromEntities: [host]}]}`,
			verdict.Connection{From: node, To: end("a"), Protocol: traffic.TCP, Port: 80}, traffic.Ingress},
		{"ICMP type 0 is every type", `{endpointSelector: {}, ingress: [{icmps: [{fields: [{type: EchoReply}]}]}]}`,
			verdict.Connection{From: end("b"), To: end("a"), Protocol: traffic.ICMP, Port: traffic.ICMPPort(8, 0)}, traffic.Ingress},
		{"services without any are everybody", `{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: none}}], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]}`,
			verdict.Connection{From: end("a"), To: end("b"), Protocol: traffic.TCP, Port: 80}, traffic.Egress},
		{"an empty selector of groups is everybody", `{endpointSelector: {}, enableDefaultDeny: {egress: false}, egressDeny: [{toCIDRSet: [{cidrGroupSelector: {}}]}]}`,
			verdict.Connection{From: end("a"), To: end("b"), Protocol: traffic.TCP, Port: 80}, traffic.Egress},
	} {
		t.Run(row.name, func(t *testing.T) {
			differing, _, err := difference(w, objectsOf(t, row.spec), []asked{{row.Connection, row.Direction}}, false)
			if err != nil || differing == nil {
				t.Errorf("both agree, or %v", err)
			}
		})
	}
}

func TestBothRefuse(t *testing.T) {
	in := func(rule string) string { return "{endpointSelector: {}, ingress: [" + rule + "]}" }
	for _, spec := range []string{
		`{endpointSelector: {}, ingress: []}`,
		`{ingress: [{}]}`,
		`{endpointSelector: {}, nodeSelector: {}, ingress: [{}]}`,
		`{endpointSelector: {matchLabels: {"a b": c}}, ingress: [{}]}`,
		`{endpointSelector: {matchExpressions: [{key: a, operator: In}]}, ingress: [{}]}`,
		in(`{fromCIDR: [10.0.0.0/8], fromEntities: [world]}`),
		in(`{fromEntities: [wold]}`),
		in(`{fromCIDR: [10.0.0.0/33]}`),
		in(`{fromCIDRSet: [{cidr: 10.0.0.1}]}`),
		in(`{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}`),
		in(`{fromCIDRSet: [{}]}`),
		in(`{fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: a}]}`),
		in(`{toPorts: [{ports: [{protocol: TCP}]}]}`),
		in(`{toPorts: [{ports: [{port: "65536"}]}]}`),
		in(`{toPorts: [{ports: [{port: "80", protocol: ICMP}]}]}`),
		in(`{toPorts: [{ports: [` + strings.Repeat(`{port: "80"},`, 41) + `]}]}`),
		in(`{toPorts: [{ports: [{port: "80"}]}], icmps: [{fields: [{type: 8}]}]}`),
		in(`{icmps: [{fields: [{type: 8, family: v4}]}]}`),
		in(`{toPorts: [{ports: [{port: "80"}], rules: {http: [{}]}}]}`),
		in(`{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: "("}]}}]}`),
		in(`{toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchName: a}]}}]}`),
		`{endpointSelector: {}, egress: [{toFQDNs: [{matchName: a, matchPattern: b}]}]}`,
		`{endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: "[a]"}]}]}`,
		`{endpointSelector: {}, egress: [{toPorts: [{rules: {dns: [{matchName: a}]}}]}]}`,
		`{nodeSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]}`,
	} {
		objects := objectsOf(t, spec)
		if _, err := NewOurs(small().Snapshot, objects); err == nil {
			t.Errorf("we accept %s", spec)
		}
		if _, err := NewTheirs(small().Snapshot, objects, nil, false); err == nil {
			t.Errorf("they accept %s", spec)
		}
	}
}
