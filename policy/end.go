package policy

import (
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// End is one end of a connection, with all that peers ask of it.
type End struct {
	Addr   netip.Addr
	Pod    *cluster.Pod  // that has the address on the pod network; nil: none
	Labels *Labels       // of Pod
	Node   *cluster.Node // that has the address; nil: none
	Own    bool          // Node is the one on which the connection's subject runs
	// Networks are the sets that the address lies in.
	Networks []Member
	// Services are those that lead to the address.
	Services []*cluster.Endpoints
	// Target is the port that the connection goes to; nil: the end is its source,
	// or the pod that the policy protects.
	Target *cluster.ServedPort
	// Names are the selectors, as text, that the address was learned for.
	Names []string
}

// Member is a set of networks that an end is in.
type Member struct {
	*Networks
	Labels *Labels
}
