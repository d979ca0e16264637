package convert

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Synthetic is a cluster made up for policies that come without one: in each
// namespace that their selectors tell from others a pod for each list of labels
// that they pick, and one without any; two nodes; and every port that they name.
func Synthetic(set *policy.Set) *cluster.Snapshot {
	m := maker{
		snapshot: cluster.NewSnapshot(), labels: map[string]map[string]string{"": {}},
		namespaces: map[string]map[string]string{"other": {}}, ports: map[cluster.Port]bool{},
	}
	for _, p := range set.Sorted() {
		m.meet(p)
	}
	m.ports[cluster.Port{Protocol: traffic.TCP, Number: 65000}] = true // named by nobody
	for n := range 2 {
		name := fmt.Sprintf("node-%d", n+1)
		m.snapshot.Nodes[name] = &cluster.Node{
			Name: name, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{172, 18, 0, byte(11 + n)})},
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(244 + n), 0, 0}), 16)},
		}
	}
	m.make()
	return m.snapshot
}

// maker gathers what selectors ask for.
type maker struct {
	snapshot           *cluster.Snapshot
	labels, namespaces map[string]map[string]string // by a text or name
	ports              map[cluster.Port]bool
}

func (m *maker) meet(p *policy.Policy) {
	m.pods(p.Subject)
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		rules := p.In(d)
		if rules == nil {
			continue
		}
		for _, r := range rules.Rules {
			m.peers(r.Peers)
			for _, port := range slices.Concat(r.Ports, r.NotPorts) {
				m.port(port)
			}
		}
	}
}

func (m *maker) peers(peers []policy.Peer) {
	for _, p := range peers {
		if p.Pods != nil {
			m.pods(*p.Pods)
		}
		m.peers(p.And)
		m.peers(p.Not)
	}
}

func (m *maker) pods(s policy.PodSelector) {
	w := whoOf(s)
	if w.namespace != "" {
		m.namespace(w.namespace, nil)
	}
	if labels := witness(w.namespaces); len(labels) > 0 {
		m.namespace(labels[cluster.NamespaceNameLabel], labels)
	}
	labels := witness(w.pods)
	m.labels[fmt.Sprint(labels)] = labels
}

func (m *maker) namespace(name string, labels map[string]string) {
	if name == "" {
		name = fmt.Sprintf("namespace-%d", len(m.namespaces))
	}
	all := maps.Clone(m.namespaces[name])
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, labels)
	all[cluster.NamespaceNameLabel] = name
	m.namespaces[name] = all
}

// witness has the labels that conditions ask for.
func witness(list []term) map[string]string {
	labels := map[string]string{}
	for _, t := range list {
		switch t.op {
		case metav1.LabelSelectorOpIn:
			labels[t.key] = t.values[0]
		case metav1.LabelSelectorOpExists:
			if _, has := labels[t.key]; !has {
				labels[t.key] = "x"
			}
		}
	}
	return labels
}

func (m *maker) port(p policy.Port) {
	protocol := p.Protocol
	if protocol == traffic.AnyProtocol {
		protocol = traffic.TCP
	}
	switch {
	case !protocol.HasPorts():
	case p.Name != "":
		m.ports[cluster.Port{Name: p.Name, Protocol: protocol, Number: uint16(20000 + len(m.ports))}] = true
	case p.From > 0:
		m.ports[cluster.Port{Protocol: protocol, Number: p.From}] = true
		m.ports[cluster.Port{Protocol: protocol, Number: p.To}] = true
	}
}

// mostPods bounds what is made up: pairs of pods are asked about.
const mostPods = 150

func (m *maker) make() {
	ports := slices.SortedFunc(maps.Keys(m.ports), func(a, b cluster.Port) int {
		return strings.Compare(fmt.Sprint(a.Protocol, a.Number, a.Name), fmt.Sprint(b.Protocol, b.Number, b.Name))
	})
	n := 0
	for _, namespace := range slices.Sorted(maps.Keys(m.namespaces)) {
		labels := maps.Clone(m.namespaces[namespace])
		labels[cluster.NamespaceNameLabel] = namespace
		m.snapshot.Namespaces[namespace] = &cluster.Namespace{Name: namespace, Labels: labels}
		for i, key := range slices.Sorted(maps.Keys(m.labels)) {
			if n++; n > mostPods {
				return
			}
			node := n % 2
			pod := &cluster.Pod{
				Name: cluster.Name{Namespace: namespace, Name: fmt.Sprintf("pod-%d", i)}, Labels: m.labels[key], ServiceAccount: "default",
				Node: fmt.Sprintf("node-%d", node+1), Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(244 + node), byte(n >> 8), byte(n)})},
				Ports: ports,
			}
			m.snapshot.Pods[pod.Name] = pod
		}
	}
}
