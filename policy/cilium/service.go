package cilium

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// readServices: a rule for services is one for their backends, on every port. Of
// those, Cilium finds pods and what is outside, but no nodes.
func (w *ruleReader) readServices(path *field.Path) {
	for i, s := range w.services {
		if chosen, ok := w.service(s, path.Index(i)); ok {
			w.peers = append(w.peers, policy.Peer{Services: chosen, Not: []policy.Peer{allNodes}})
		} else {
			w.wrong = true
		}
	}
}

// service reads one entry; a selector in it comes before a name.
func (w *ruleReader) service(s Service, path *field.Path) (*policy.ServiceSelector, bool) {
	switch {
	case s.K8sServiceSelector != nil:
		path = path.Child("k8sServiceSelector", "selector")
		asked, ok := w.selector(&s.K8sServiceSelector.Selector, path)
		if !ok {
			return nil, false
		}
		services, ok := w.nodeSelector(asked, path)
		return &policy.ServiceSelector{Namespace: s.K8sServiceSelector.Namespace, Services: services}, ok
	case s.K8sService == nil:
		return nil, w.fail(field.Required(path, "give k8sService or k8sServiceSelector"))
	case s.K8sService.ServiceName == "":
		return nil, w.fail(field.Required(path.Child("k8sService", "serviceName"), "give the service's name"))
	}
	return &policy.ServiceSelector{Namespace: s.K8sService.Namespace, Name: s.K8sService.ServiceName}, true
}
