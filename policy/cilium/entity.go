package cilium

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// entities are what the API calls so; those of nobody are empty, and all is nil.
var entities = map[string][]policy.Peer{
	"all":            nil,
	"cluster":        {allPods, allNodes, apiServer},
	"cluster-mesh":   {allPods, allNodes, apiServer}, // there is one cluster
	"health":         {},
	"host":           {{Nodes: &policy.NodeSelector{Which: policy.OwnNode}}},
	"ingress":        {},
	"init":           {},
	"kube-apiserver": {apiServer},
	"none":           {},
	"remote-node":    {{Nodes: &policy.NodeSelector{Which: policy.OtherNode}}},
	"unmanaged":      {},
	"world":          {world},
	"world-ipv4":     {outside(everything4)},
	"world-ipv6":     {outside(everything6)},
}

// withOwnNode are the entities that may be the pod's own node.
var withOwnNode = []string{"cluster", "cluster-mesh", "host", "kube-apiserver"}

func (w *ruleReader) readEntities(path *field.Path) {
	for i, name := range w.entities {
		path := path.Index(i)
		peers, known := entities[name]
		switch {
		case !known:
			w.mistake(field.NotSupported(path, name, entityNames()))
		case peers == nil:
			w.anyPeer = true
		}
		w.ownNode = w.ownNode || slices.Contains(withOwnNode, name)
		w.peers = append(w.peers, peers...)
	}
}

func entityNames() []string {
	names := make([]string, 0, len(entities))
	for name := range entities {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
