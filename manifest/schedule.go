package manifest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// scheduler gives every pod a node.
type scheduler struct {
	*builder
	share    int // of the pods for each node, rounded up
	load     map[string]int
	siblings map[sibling]int
	failed   map[*object]bool // workloads for whose pods there is no node
}

// sibling are the pods of one workload on one node.
type sibling struct {
	from *object
	node string
}

func (b *builder) schedule() {
	s := &scheduler{
		builder:  b,
		share:    (len(b.seats) + len(b.nodes) - 1) / len(b.nodes),
		load:     map[string]int{},
		siblings: map[sibling]int{},
		failed:   map[*object]bool{},
	}
	var open []*seat
	for _, seat := range b.seats {
		if seat.pod.Node != "" || s.placeStated(seat) {
			s.count(seat)
		} else {
			open = append(open, seat)
		}
	}
	slices.SortFunc(open, compareSeats)
	for _, seat := range open {
		s.place(seat)
	}
}

func compareSeats(a, b *seat) int {
	return cmp.Or(strings.Compare(a.pod.Namespace, b.pod.Namespace), strings.Compare(a.pod.Name.Name, b.pod.Name.Name))
}

func (s *scheduler) count(seat *seat) {
	s.load[seat.pod.Node]++
	s.siblings[sibling{seat.from, seat.pod.Node}]++
}

// placeStated puts a pod where the input says, or where it was before. It is
// false if neither is so.
func (s *scheduler) placeStated(seat *seat) bool {
	nodes := s.bundle.Snapshot.Nodes
	if name := seat.spec.NodeName; name != "" {
		if nodes[name] == nil {
			s.failAt(seat.from, seat.path+".nodeName", "pod %s cannot be placed: there is no node %q, declare it or use one of %s",
				seat.pod.Name, name, s.nodeNames())
		}
		seat.pod.Node = name
		return true
	}
	if s.opts.Keep == nil || s.opts.Keep.Pods[seat.pod.Name] == nil {
		return false
	}
	node := nodes[s.opts.Keep.Pods[seat.pod.Name].Node]
	if node == nil || !fits(seat.spec, node) {
		return false
	}
	seat.pod.Node = node.Name
	return true
}

func (s *scheduler) place(seat *seat) {
	if node := s.pick(seat); node != nil {
		seat.pod.Node = node.Name
		s.count(seat)
		return
	}
	if !s.failed[seat.from] { // once for all replicas
		s.failAt(seat.from, seat.path+".nodeSelector", "pod %s cannot be placed: no node has the labels %s, put them on one of %s",
			seat.pod.Name, labels.Set(seat.spec.NodeSelector), s.nodeNames())
	}
	s.failed[seat.from] = true
}

// pick is the first node from a starting point that has less than its share of
// the pods and none of the workload, or comes nearest to that. The start depends
// on the workload's name alone and replicas go round from there, so pods stay
// where they are when others come and go, as far as even shares allow.
func (s *scheduler) pick(seat *seat) *cluster.Node {
	start := int(hash(seat.from.String())%uint64(len(s.nodes))) + seat.replica
	var best *cluster.Node
	lowest := 0
	for i := range s.nodes {
		node := s.nodes[(start+i)%len(s.nodes)]
		if !fits(seat.spec, node) {
			continue
		}
		cost := max(0, s.load[node.Name]+1-s.share) + s.siblings[sibling{seat.from, node.Name}]
		if best == nil || cost < lowest {
			best, lowest = node, cost
		}
		if lowest == 0 {
			break
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
