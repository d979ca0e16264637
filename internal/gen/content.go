package gen

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

var (
	domains  = []string{"a.example.com", "b.example.com", "a.b.example.com", "example.com", "example.org"}
	patterns = []string{"a.example.com", "*.example.com", "**.example.com", "*", "example.*"}
	paths    = []string{"/", "/a", "/a/b", "/b"}
	methods  = []string{"GET", "POST"}
)

// Requests and Queries are what connections carry in a world with content.
func Requests() []l7.Request {
	var all []l7.Request
	for _, method := range methods {
		for _, path := range paths {
			all = append(all, l7.Request{Method: method, Path: path, Host: "shop"})
		}
	}
	return all
}

// Queries are names that are asked for.
func Queries() []string { return domains }

// content makes some rules that allow ask for content.
func (g *generator) content(r *policy.Rule) {
	if r.Action != policy.Allow {
		return
	}
	switch g.IntN(3) {
	case 0:
		for range 1 + g.IntN(2) {
			r.HTTP = append(r.HTTP, g.http())
		}
	case 1:
		for range 1 + g.IntN(2) {
			r.DNS = append(r.DNS, g.name())
		}
	}
}

func (g *generator) http() l7.HTTP {
	h, err := l7.NewHTTP(l7.HTTP{Method: one(g, append(methods, "", "GET|POST")...), Path: one(g, append(paths, "", "/a.*")...)})
	if err != nil {
		panic(err) // the words are all valid
	}
	return h
}

func (g *generator) name() l7.Name {
	n, err := l7.CiliumPattern(one(g, patterns...))
	if err != nil {
		panic(err) // the words are all valid
	}
	return n
}

// byName makes some of a policy's peers names.
func (g *generator) byName(p *policy.Policy) {
	for i := range p.Egress.Rules {
		r := &p.Egress.Rules[i]
		if !r.AnyPeer && g.in(4) {
			r.Peers = append(slices.Clone(r.Peers), policy.Peer{Names: &policy.NameSelector{Policy: p.Ref, Names: []l7.Name{g.name(), g.name()}}})
		}
	}
}

// learn gives the names in use addresses: of the cluster, and outside.
func (g *generator) learn() {
	for _, selector := range g.world.nameSelectors() {
		g.world.SetLearned(selector, g.addresses())
	}
}

func (w *World) nameSelectors() []string {
	found := map[string]struct{}{}
	for _, p := range w.Set.Policies {
		for _, s := range p.NameSelectors() {
			found[s.String()] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (g *generator) addresses() []netip.Addr {
	endpoints := g.world.Endpoints()
	var addrs []netip.Addr
	for range g.IntN(5) {
		addrs = append(addrs, endpoints[g.IntN(len(endpoints))].Addr)
	}
	return addrs
}

// changedLearned is a name that has other addresses, or none.
func (g *generator) changedLearned() []Change {
	selectors := g.world.nameSelectors()
	if len(selectors) == 0 {
		return nil
	}
	selector, addrs := one(g, selectors...), g.addresses()
	return []Change{func(t Target) { t.SetLearned(selector, addrs) }}
}

// Carry is the connection with each content that it can have.
func Carry(v traffic.Verdict, each func(request *l7.Request, query string)) {
	if v == traffic.InspectHTTP {
		for _, q := range Requests() {
			each(&q, "")
		}
	}
	if v == traffic.InspectDNS {
		for _, name := range Queries() {
			each(nil, name)
		}
	}
}
