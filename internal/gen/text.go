package gen

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// String is the world for a person to try: manifests, as long as its policies
// are NetworkPolicies, and a list of what it holds otherwise.
func (w *World) String() string {
	policies := w.Set.Sorted()
	if len(w.Set.Tiers) == len(policy.StandardTiers()) && !slices.ContainsFunc(policies, func(p *policy.Policy) bool { return p.Dialect != policy.Kubernetes }) {
		return w.Manifests()
	}
	var b strings.Builder
	for _, o := range w.objects() {
		text, err := yaml.Marshal(o)
		if err != nil {
			panic(err) // they are plain values
		}
		b.WriteString("---\n" + string(text))
	}
	for _, t := range w.Set.SortedTiers() {
		fmt.Fprintf(&b, "tier %s, order %g, ends with %s\n", t.Name, t.Order, t.End)
	}
	for _, n := range w.Set.Networks {
		fmt.Fprintf(&b, "%s %s %s, labels %v: %v\n", n.Dialect, n.Kind, n.Ref, n.Labels, n.Prefixes)
	}
	for _, h := range w.Set.Hosts {
		fmt.Fprintf(&b, "host %s on %s, device %q, %v, labels %v, ports %v, open %t\n", h.Ref, h.Node, h.Device, h.Addrs, h.Labels, h.Ports, h.Open)
	}
	for name, a := range w.Snapshot.ServiceAccounts {
		fmt.Fprintf(&b, "service account %s, labels %v\n", name, a.Labels)
	}
	for name, e := range w.Snapshot.Endpoints {
		fmt.Fprintf(&b, "service %s, labels %v: %v\n", name, e.Labels, e.Backends)
	}
	for _, p := range policies {
		fmt.Fprintf(&b, "%s %s %s, tier %s, order %g, for %s\n", p.Dialect, p.Kind, p.Ref, p.Tier, p.Order, p.Subject)
		if p.Hosts != nil {
			fmt.Fprintf(&b, "  and %s\n", p.Hosts)
		}
		writeRules(&b, traffic.Ingress, p.Ingress)
		writeRules(&b, traffic.Egress, p.Egress)
	}
	return b.String()
}

func writeRules(b *strings.Builder, d traffic.Direction, rules *policy.Rules) {
	if rules == nil {
		return
	}
	fmt.Fprintf(b, "  %s, isolates %v\n", d, rules.Isolates)
	for _, r := range rules.Rules {
		fmt.Fprintf(b, "    %s\n", r)
	}
}

// Manifests are the world as Kubernetes objects in YAML; policies of other
// dialects are not among them.
func (w *World) Manifests() string {
	objects := w.objects()
	for _, p := range w.Set.Sorted() {
		if p.Dialect == policy.Kubernetes {
			objects = append(objects, NetworkPolicy(p))
		}
	}
	var b strings.Builder
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			panic(err) // they are plain values
		}
		b.WriteString("---\n" + string(text))
	}
	return b.String()
}

// objects are the cluster's, without the fields that say nothing.
func (w *World) objects() []any {
	var all []any
	for _, name := range slices.Sorted(maps.Keys(w.Snapshot.Namespaces)) {
		all = append(all, object("Namespace", "", name, w.Snapshot.Namespaces[name].Labels, nil, nil))
	}
	for _, name := range slices.Sorted(maps.Keys(w.Snapshot.Nodes)) {
		n := w.Snapshot.Nodes[name]
		var addrs []fields
		for _, a := range n.Addrs {
			addrs = append(addrs, fields{"type": "InternalIP", "address": a.String()})
		}
		all = append(all, object("Node", "", name, n.Labels, nil, fields{"addresses": addrs}))
	}
	for _, p := range w.pods() {
		all = append(all, podObject(p))
	}
	return all
}

type fields map[string]any

func object(kind, namespace, name string, labels map[string]string, spec, status fields) fields {
	metadata := fields{"name": name}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	if len(labels) > 0 {
		metadata["labels"] = labels
	}
	o := fields{"apiVersion": "v1", "kind": kind, "metadata": metadata}
	if len(spec) > 0 {
		o["spec"] = spec
	}
	if len(status) > 0 {
		o["status"] = status
	}
	return o
}

func podObject(p *cluster.Pod) fields {
	container := fields{"name": "main", "image": "example.com/main"}
	var ports []fields
	for _, port := range p.Ports {
		f := fields{"protocol": port.Protocol.String(), "containerPort": port.Number}
		if port.Name != "" {
			f["name"] = port.Name
		}
		ports = append(ports, f)
	}
	if len(ports) > 0 {
		container["ports"] = ports
	}
	spec := fields{"nodeName": p.Node, "serviceAccountName": p.ServiceAccount, "containers": []fields{container}}
	if p.HostNetwork {
		spec["hostNetwork"] = true
	}
	status := fields{}
	var ips []fields
	for _, a := range p.Addrs {
		ips = append(ips, fields{"ip": a.String()})
	}
	if len(ips) > 0 {
		status = fields{"podIP": ips[0]["ip"], "podIPs": ips}
	}
	return object("Pod", p.Namespace, p.Name.Name, p.Labels, spec, status)
}
