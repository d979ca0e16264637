// Package explanation answers one question of a person: may this reach that, and
// why.
//
// A question can have several ways to be true: a service has backends, a pod may
// have addresses of two families. All of them must be allowed for the answer to
// be allow. An Explanation prints itself through package printer. The package is
// pure.
package explanation

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/directory"
	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// Question is what a person asks, in the names that package directory reads.
type Question struct {
	From, To string
	Protocol traffic.Protocol
	Port     string // a number, or the destination's name for it
	// Request and Query are what the connection carries, if that is asked about.
	Request *l7.Request
	Query   string
}

// Explanation is the answer. Egress and Ingress are those of the way that
// decides: the first that is denied, or of an allow the first.
type Explanation struct {
	From     string           `json:"from"`
	To       string           `json:"to"`
	Protocol traffic.Protocol `json:"protocol"`
	Port     uint16           `json:"port,omitempty"` // at To, for a service its own
	verdict.Result
	// Ways are all of them, where there is more than one or a service between.
	Ways []Way `json:"ways,omitempty"`
	// Staged is what the answer would be if all that is staged were enforced; nil:
	// the same for the same reasons.
	Staged *verdict.Result `json:"staged,omitempty"`
	// Notes say how names were understood.
	Notes []string `json:"notes,omitempty"`
}

// Way is one way to reach what was asked for.
type Way struct {
	verdict.Connection
	// Addrs are the addresses: several families where they make no difference.
	Addrs []string `json:"addresses"`
	verdict.Result
}

// New answers a question. Its error is the person's to mend.
func New(s *cluster.Snapshot, set *policy.Set, q Question) (*Explanation, error) {
	d := directory.New(s)
	from, err := d.Find(q.From)
	if err != nil {
		return nil, fmt.Errorf("find source: %w", err)
	}
	to, err := d.Find(q.To)
	if err != nil {
		return nil, fmt.Errorf("find destination: %w", err)
	}
	connections, err := d.Connections(from, to, q.Protocol, q.Port)
	if err != nil {
		return nil, err
	}
	for i := range connections {
		connections[i].Request, connections[i].Query = q.Request, q.Query
	}
	ways := ask(verdict.New(s, set), connections)
	x := decide(ways)
	x.To = to.String()
	if to.Service != nil {
		x.Port = servicePort(to.Service, q)
	}
	if len(ways) > 1 || to.Service != nil {
		x.Ways = ways
	}
	if len(set.Staged) > 0 {
		x.preview(decide(ask(verdict.New(s, set.Preview()), connections)))
	}
	for _, place := range []directory.Place{from, to} {
		x.Notes = append(x.Notes, replicaNote(place)...)
	}
	x.Notes = append(x.Notes, nodePortNote(s, to, connections[0])...)
	return x, nil
}

func ask(model *verdict.Evaluator, connections []verdict.Connection) []Way {
	var ways []Way
	for _, c := range connections {
		ways = addWay(ways, Way{Connection: c, Result: model.Evaluate(c), Addrs: []string{fmt.Sprintf("%s -> %s", c.From.Addr, c.To.Addr)}})
	}
	return ways
}

// decide is the answer of the way that decides.
func decide(ways []Way) *Explanation {
	way := ways[0]
	if i := slices.IndexFunc(ways, func(w Way) bool { return w.Verdict == traffic.Deny }); i >= 0 {
		way = ways[i]
	}
	return &Explanation{From: way.From.String(), Protocol: way.Protocol, Port: way.Port, Result: way.Result}
}

// preview notes another answer, if another rule gives it.
func (x *Explanation) preview(o *Explanation) {
	same := func(a, b verdict.Decision) bool {
		return a.Verdict == b.Verdict && a.Tier == b.Tier && (a.Rule == nil) == (b.Rule == nil) &&
			(a.Rule == nil || *a.Rule == *b.Rule && a.Policy == b.Policy)
	}
	if !same(x.Egress, o.Egress) || !same(x.Ingress, o.Ingress) {
		x.Staged = &o.Result
	}
}

// addWay adds a way, or only its addresses to that of the other family if that
// is the same in all else.
func addWay(ways []Way, w Way) []Way {
	for i, o := range ways {
		if o.From.String() == w.From.String() && o.To.String() == w.To.String() && o.Port == w.Port && reflect.DeepEqual(o.Result, w.Result) {
			ways[i].Addrs = append(ways[i].Addrs, w.Addrs...)
			return ways
		}
	}
	return append(ways, w)
}

// servicePort is the number of the service's port that was asked for.
func servicePort(service *cluster.Service, q Question) uint16 {
	for _, p := range service.Ports {
		if p.Name == q.Port && p.Protocol == q.Protocol {
			return p.Port
		}
	}
	number, _ := strconv.ParseUint(q.Port, 10, 16)
	return uint16(number)
}

func replicaNote(p directory.Place) []string {
	if len(p.Replicas) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s is one of %d pods of %s", p.Pod.Name, len(p.Replicas), p.Pod.Workload)}
}

// nodePortNote is for who asks for a node and means a service: policy sees the
// backend's address.
func nodePortNote(s *cluster.Snapshot, to directory.Place, c verdict.Connection) []string {
	if to.Node == "" {
		return nil
	}
	for _, service := range s.Services {
		for _, p := range service.Ports {
			if p.NodePort == c.Port && p.Protocol == c.Protocol && c.Port != 0 {
				return []string{fmt.Sprintf("%s %d on a node leads to %s: ask for service/%s, the answer here is for the node itself", c.Protocol, c.Port, service.Name, service.Name)}
			}
		}
	}
	return nil
}
