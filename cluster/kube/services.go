package kube

import (
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/cluster/k8s"
)

// Services follows where services lead. It is used by one goroutine.
type Services struct {
	labels *Table[map[string]string]
	slices *Table[*slice]
	parts  map[cluster.Name]map[cluster.Name]*slice // by service, by slice
	of     map[cluster.Name]cluster.Name            // the service of a slice
	named  map[cluster.Name]map[string]string       // the labels of services
}

// slice is an EndpointSlice: a part of where a service leads.
type slice struct {
	service  cluster.Name
	backends []cluster.Backend
}

// Services follows, on demand, where services lead: their EndpointSlices, whoever
// has made them, and their own labels.
func (f *Feed) Services() *Services {
	return &Services{
		labels: FollowOnDemand(f, f.client.Services(), func(object metav1.Object) Reading[map[string]string] {
			return Reading[map[string]string]{Value: object.GetLabels(), Skip: len(object.GetLabels()) == 0}
		}, maps.Equal),
		slices: FollowOnDemand(f, f.client.EndpointSlices(), readSlice, sameSlice),
		parts:  map[cluster.Name]map[cluster.Name]*slice{}, of: map[cluster.Name]cluster.Name{},
		named: map[cluster.Name]map[string]string{},
	}
}

func readSlice(object metav1.Object) Reading[*slice] {
	service, backends, errs := k8s.EndpointSlice(object.(*discoveryv1.EndpointSlice))
	return Reading[*slice]{Value: &slice{service, backends}, Errs: errs, Skip: service.Name == ""}
}

func sameSlice(a, b *slice) bool {
	return a.service == b.service && slices.EqualFunc(a.backends, b.backends, func(x, y cluster.Backend) bool {
		return x.Addr == y.Addr && slices.Equal(x.Ports, y.Ports)
	})
}

// Want says whether services are to be followed.
func (s *Services) Want(want bool) {
	s.labels.Want(want)
	s.slices.Want(want)
}

// States are how the two tables stand.
func (s *Services) States() []State { return []State{s.labels.State(), s.slices.State()} }

// Take returns what changed since it was called last; nil: the service leads
// nowhere any more.
func (s *Services) Take() map[cluster.Name]*cluster.Endpoints {
	touched := map[cluster.Name]bool{}
	for name, change := range s.labels.Take() {
		touched[name] = true
		if change.Gone {
			delete(s.named, name)
		} else {
			s.named[name] = change.Value
		}
	}
	for name, change := range s.slices.Take() {
		if old, had := s.of[name]; had {
			touched[old] = true
			s.forget(old, name)
		}
		if !change.Gone {
			touched[change.Value.service] = true
			s.keep(name, change.Value)
		}
	}
	changes := make(map[cluster.Name]*cluster.Endpoints, len(touched))
	for service := range touched {
		changes[service] = s.endpoints(service)
	}
	return changes
}

func (s *Services) keep(name cluster.Name, part *slice) {
	if s.parts[part.service] == nil {
		s.parts[part.service] = map[cluster.Name]*slice{}
	}
	s.parts[part.service][name] = part
	s.of[name] = part.service
}

func (s *Services) forget(service, name cluster.Name) {
	delete(s.of, name)
	delete(s.parts[service], name)
	if len(s.parts[service]) == 0 {
		delete(s.parts, service)
	}
}

// endpoints are where a service leads; nil: nowhere.
func (s *Services) endpoints(service cluster.Name) *cluster.Endpoints {
	var backends []cluster.Backend
	for _, part := range s.parts[service] {
		backends = append(backends, part.backends...)
	}
	if len(backends) == 0 {
		return nil
	}
	return cluster.NewEndpoints(service, s.named[service], backends)
}
