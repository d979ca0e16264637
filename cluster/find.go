package cluster

import (
	"slices"
	"strings"
)

// Find is the pods that a person means by a name: the pod of that name, else
// those of the workload that is called "name" or "kind/name", in any case,
// sorted by name. It is empty if there are none.
func (s *Snapshot) Find(namespace, name string) []*Pod {
	if pod, ok := s.Pods[Name{namespace, name}]; ok {
		return []*Pod{pod}
	}
	var found []*Pod
	for _, pod := range s.Pods {
		if pod.Namespace == namespace && pod.isOf(name) {
			found = append(found, pod)
		}
	}
	slices.SortFunc(found, func(a, b *Pod) int { return strings.Compare(a.Name.Name, b.Name.Name) })
	return found
}

func (p *Pod) isOf(workload string) bool {
	if p.Workload == "" {
		return false
	}
	kind, name, qualified := strings.Cut(workload, "/")
	ownKind, ownName, _ := strings.Cut(p.Workload, "/")
	if !qualified {
		return ownName == workload
	}
	return strings.EqualFold(ownKind, kind) && ownName == name
}
