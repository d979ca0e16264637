package cilium

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Peers that are the same in every policy.
var (
	allPods   = policy.Peer{Pods: &policy.PodSelector{}}
	allNodes  = policy.Peer{Nodes: &policy.NodeSelector{}}
	inCluster = []policy.Peer{allPods, allNodes}
	world     = policy.Peer{Not: inCluster}
	apiServer = policy.Peer{Services: &policy.ServiceSelector{Namespace: "default", Name: "kubernetes"}}
)

// readEndpoints: an endpoint selector means pods, of the policy's own namespace
// unless it says which, or with a reserved label anything that Cilium gives labels
// to.
func (w *ruleReader) readEndpoints(path *field.Path) {
	for i := range w.endpoints {
		path := path.Index(i)
		asked, ok := w.selector(&w.endpoints[i], path)
		if !ok {
			w.wrong = true
			continue
		}
		if !asked.asksReserved() {
			asked = w.completed(asked)
		}
		w.classes(w.ofThisCluster(asked, path, w.deny), path)
	}
}

// completed is a selector without reserved labels as Cilium completes it: about
// objects of this cluster, which are pods, and in a namespace's policy about those
// of the namespace, unless it says of these itself.
func (w *ruleReader) completed(asked requirements) requirements {
	switch {
	case asked.asksNamespace():
	case w.ref.Namespace == "":
		asked = append(slices.Clone(asked), requirement{source: sourceK8s, key: namespaceLabel, operator: metav1.LabelSelectorOpExists})
	case !asked.asksNamespaceLabels():
		asked = asked.inNamespace(w.ref.Namespace)
	}
	if !asked.asksCluster() {
		asked = append(slices.Clone(asked), requirement{
			source: sourceK8s, key: clusterLabel, operator: metav1.LabelSelectorOpIn, values: []string{thisCluster},
		})
	}
	return asked
}

// classes adds what the requirements pick of each class.
func (w *ruleReader) classes(asked requirements, path *field.Path) {
	asked, server := asked.split(requirement.ofServer)
	if server.holds("", false) {
		w.addPods(asked, path)
	}
	from := len(w.peers)
	w.addNodes(asked, path)
	w.addWorld(asked, path)
	w.peers = append(w.peers[:from], server.narrow(w.peers[from:])...)
}

// narrow keeps of peers those that are the API server, or those that are not.
func (all requirements) narrow(peers []policy.Peer) []policy.Peer {
	is, isNot := all.holds("", true), all.holds("", false)
	if !is && !isNot {
		return nil
	}
	for i, p := range peers {
		switch {
		case !isNot:
			peers[i].And = append(slices.Clone(p.And), apiServer)
		case !is:
			peers[i].Not = append(slices.Clone(p.Not), apiServer)
		}
	}
	return peers
}

func (w *ruleReader) addPods(asked requirements, path *field.Path) {
	left, picks := asked.of(pod)
	if !picks {
		return
	}
	s, ok := w.podSelector(left, path)
	w.wrong = w.wrong || !ok
	w.peers = append(w.peers, policy.Peer{Pods: &s})
}

func (w *ruleReader) addNodes(asked requirements, path *field.Path) {
	for _, c := range []class{ownNode, otherNode} {
		if left, picks := asked.of(c); picks {
			w.addNode(c, left, path)
		}
	}
}

func (w *ruleReader) addNode(c class, left requirements, path *field.Path) {
	s, ok := w.nodeSelector(left, path)
	which := policy.OtherNode
	if c == ownNode {
		which, w.ownNode = policy.OwnNode, true
	}
	w.wrong = w.wrong || !ok
	w.peers = append(w.peers, policy.Peer{Nodes: &policy.NodeSelector{Which: which, Nodes: s}})
}

func (w *ruleReader) addWorld(asked requirements, path *field.Path) {
	left, four := asked.of(world4)
	more, six := asked.of(world6)
	switch {
	case len(left)+len(more) > 0:
		w.unknown(path, "labels of addresses are")
	case four && six:
		w.peers = append(w.peers, world)
	case four:
		w.peers = append(w.peers, outside(everything4))
	case six:
		w.peers = append(w.peers, outside(everything6))
	}
}

// readNodes: the pod's own node is none of the nodes that a selector picks.
func (w *ruleReader) readNodes(path *field.Path) {
	for i := range w.nodes {
		path := path.Index(i)
		asked, ok := w.selector(&w.nodes[i], path)
		if !ok {
			w.wrong = true
			continue
		}
		others, cluster := w.ofThisCluster(asked, path, w.deny).split(requirement.ofCluster)
		if left, picks := others.of(otherNode); picks && cluster.holds(thisCluster, true) {
			w.addNode(otherNode, left, path)
		}
	}
}

func (w *ruleReader) readGroups(path *field.Path) {
	w.unknown(path, "groups of a cloud provider are")
}
