package cluster

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Backends are the pods that a service's selector picks, by name; pods on their
// node's network are among them. A service without a selector has none here.
func (s *Snapshot) Backends(service *Service) []*Pod {
	if len(service.Selector) == 0 {
		return nil
	}
	selector := labels.SelectorFromSet(service.Selector)
	var pods []*Pod
	for _, pod := range s.Pods {
		if pod.Namespace == service.Namespace && selector.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	slices.SortFunc(pods, func(a, b *Pod) int { return a.Name.Compare(b.Name) })
	return pods
}

// Compare orders names by namespace, then name.
func (n Name) Compare(o Name) int {
	return cmp.Or(strings.Compare(n.Namespace, o.Namespace), strings.Compare(n.Name, o.Name))
}

// Target is the port of a backend that a service's port leads to. A pod without
// a port of the target's name is no backend of that port. Where several
// containers share the name the first one's counts, as for the API server.
func (p ServicePort) Target(backend *Pod) (uint16, bool) {
	if p.TargetName == "" {
		return p.TargetPort, true
	}
	numbers := backend.Resolve(p.TargetName, p.Protocol)
	if len(numbers) == 0 {
		return 0, false
	}
	return numbers[0], true
}
