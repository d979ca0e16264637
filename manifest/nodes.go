package manifest

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

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
