package policy

import "github.com/bulkhead-dev/bulkhead/cluster"

// ServiceSelector picks the addresses that services lead to. Its terms are
// AND-ed; its zero value picks those of every service.
type ServiceSelector struct {
	Namespace string   // only services of this namespace; empty: any
	Name      string   // only services of this name; empty: any
	Services  Selector // by the service's labels; nil: any
	// Ports: a connection to such an address must go to a port at which the
	// service serves there. No source matches then. It counts in rules' peers, not
	// in what narrows them.
	Ports bool
}

// Matches tells whether the selector picks a service.
func (s ServiceSelector) Matches(e *cluster.Endpoints) bool {
	return (s.Namespace == "" || s.Namespace == e.Namespace) && (s.Name == "" || s.Name == e.Name.Name) &&
		(s.Services == nil || s.Services.Matches(&Labels{Own: e.Labels}))
}

// String is canonical: "backends of services namespace=shop at their ports".
func (s ServiceSelector) String() string {
	text := "backends of services"
	if s.Namespace != "" {
		text += " namespace=" + s.Namespace
	}
	if s.Name != "" {
		text += " name=" + s.Name
	}
	if s.Services != nil {
		text += " {" + s.Services.String() + "}"
	}
	if s.Ports {
		text += " at their ports"
	}
	return text
}

// picks tells whether an end is a backend of a service that the selector picks.
func (s ServiceSelector) picks(e *End) bool {
	for _, service := range e.Services {
		if !s.Matches(service) {
			continue
		}
		ports, ok := service.At(e.Addr)
		if !ok {
			continue
		}
		if !s.Ports {
			return true
		}
		for _, p := range ports {
			if e.Target != nil && p == *e.Target {
				return true
			}
		}
	}
	return false
}
