package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
)

// MaxNodes is how many nodes can be made up: as many as there are ranges for
// their pods.
const MaxNodes = 3000

// addNodes adds the declared nodes, or makes up those that are needed.
func (b *builder) addNodes() {
	declared := b.of("Node")
	for _, o := range declared {
		b.addNode(o)
	}
	if len(declared) == 0 {
		b.makeNodes()
	}
	for _, name := range sortedKeys(b.bundle.Snapshot.Nodes) {
		b.nodes = append(b.nodes, b.bundle.Snapshot.Nodes[name])
	}
}

// makeNodes makes up the nodes that were asked for and those that pods name.
func (b *builder) makeNodes() {
	if b.opts.Nodes < 0 || b.opts.Nodes > MaxNodes {
		b.fail(&Error{Message: fmt.Sprintf("%d nodes: use 1 to %d", b.opts.Nodes, MaxNodes)})
		return
	}
	for i := range b.opts.Nodes {
		b.makeNode(fmt.Sprintf("node-%d", i+1))
	}
	for _, s := range b.seats {
		if s.spec.NodeName != "" {
			node := b.makeNode(s.spec.NodeName)
			if len(node.Addrs) == 0 && len(s.hostIPs) > 0 {
				node.Addrs, b.nodeFrom[node.Name] = s.hostIPs, s.from
			}
		}
	}
	if len(b.bundle.Snapshot.Nodes) == 0 {
		b.makeNode("node-1")
	}
}

func (b *builder) makeNode(name string) *cluster.Node {
	if node, ok := b.bundle.Snapshot.Nodes[name]; ok {
		return node
	}
	node := &cluster.Node{Name: name, Labels: nodeLabels(name, nil)}
	b.bundle.Snapshot.Nodes[name] = node
	return node
}

// nodeLabels adds the labels that every kubelet sets and manifests select by.
func nodeLabels(name string, labels map[string]string) map[string]string {
	all := map[string]string{"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
	maps.Copy(all, labels)
	return all
}

func (b *builder) addNode(o *object) {
	node, errs := k8s.Node(o.body.(*corev1.Node))
	b.failFields(o, "", errs)
	node.Labels = nodeLabels(o.Name, node.Labels)
	b.nodeFrom[o.Name] = o
	b.bundle.Snapshot.Nodes[o.Name] = node
}

// fits tells whether a pod may run on the node.
func fits(spec *corev1.PodSpec, node *cluster.Node) bool {
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return false
	}
	for name, value := range spec.NodeSelector {
		if has, ok := node.Labels[name]; !ok || has != value {
			return false
		}
	}
	return true
}

// schedule gives every pod a node.
func (b *builder) schedule() {
	if len(b.nodes) == 0 {
		return // reported where they could not be made
	}
	load := map[string]int{}
	var open []*seat
	for _, s := range b.seats {
		if s.pod.Node == "" && !b.placeStated(s) {
			open = append(open, s)
		}
		load[s.pod.Node]++
	}
	slices.SortFunc(open, func(a, b *seat) int { return strings.Compare(a.pod.Name.String(), b.pod.Name.String()) })
	share := (len(b.seats) + len(b.nodes) - 1) / max(1, len(b.nodes))
	for _, s := range open {
		if node := b.pick(s, load, share); node != nil {
			s.pod.Node = node.Name
			load[node.Name]++
		} else {
			b.failAt(s.from, s.path+".nodeSelector", "pod %s cannot be placed: no node has the labels %s, put them on one of %s",
				s.pod.Name, labels.Set(s.spec.NodeSelector), b.nodeNames())
		}
	}
}

// placeStated puts a pod where the input says, or where it was before. It is
// false if neither is so.
func (b *builder) placeStated(s *seat) bool {
	if name := s.spec.NodeName; name != "" {
		if _, ok := b.bundle.Snapshot.Nodes[name]; !ok {
			b.failAt(s.from, s.path+".nodeName", "pod %s cannot be placed: there is no node %q, declare it or use one of %s", s.pod.Name, name, b.nodeNames())
		}
		s.pod.Node = name
		return true
	}
	if b.opts.Keep == nil {
		return false
	}
	if kept, ok := b.opts.Keep.Pods[s.pod.Name]; ok {
		if node, ok := b.bundle.Snapshot.Nodes[kept.Node]; ok && fits(s.spec, node) {
			s.pod.Node = node.Name
			return true
		}
	}
	return false
}

// pick is the first node from a starting point that has less than its share of
// the pods, else the one with the fewest. The start depends on the workload's
// name alone and replicas go round from there, so pods stay where they are when
// others come and go, as far as even shares allow.
func (b *builder) pick(s *seat, load map[string]int, share int) *cluster.Node {
	start := int(hash(s.from.String())%uint64(max(1, len(b.nodes)))) + s.replica
	var best *cluster.Node
	for i := range b.nodes {
		node := b.nodes[(start+i)%len(b.nodes)]
		if !fits(s.spec, node) {
			continue
		}
		if load[node.Name] < share {
			return node
		}
		if best == nil || load[node.Name] < load[best.Name] {
			best = node
		}
	}
	return best
}

func (b *builder) nodeNames() string {
	var names []string
	for i, node := range b.nodes {
		if i == 5 {
			names = append(names, "…")
			break
		}
		names = append(names, node.Name)
	}
	return strings.Join(names, ", ")
}

// hash spreads names evenly and in the same way on every machine.
func hash(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint64(sum[:8])
}
