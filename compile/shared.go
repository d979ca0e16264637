package compile

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bulkhead-dev/bulkhead/cluster"
)

// Claim is who says that an address is theirs.
type Claim struct {
	Pods  []cluster.Name // sorted
	Nodes []string       // sorted
}

func (c Claim) equal(o Claim) bool {
	return slices.Equal(c.Pods, o.Pods) && slices.Equal(c.Nodes, o.Nodes)
}

// claims are the addresses of this node's pods that others claim too.
type claims struct {
	shared map[netip.Addr]Claim
	news   map[netip.Addr]Claim // since the last Shared
}

// Shared are the addresses of this node's pods whose claimants are others than
// at the last call, with those of now; none: it is disputed no more.
func (c *Compiler) Shared() map[netip.Addr]Claim {
	news := c.claims.news
	c.claims.news = nil
	return news
}

// noteClaim remembers who claims an address.
func (c *Compiler) noteClaim(a *address) {
	claim, before := a.claim(), c.claims.shared[a.addr]
	if claim.equal(before) {
		return
	}
	if c.claims.news == nil {
		c.claims.news = map[netip.Addr]Claim{}
	}
	c.claims.news[a.addr] = claim
	if len(claim.Pods) == 0 {
		delete(c.claims.shared, a.addr)
	} else {
		c.claims.shared[a.addr] = claim
	}
}

// claim is empty for an address that one alone claims, or that no pod of this
// node does.
func (a *address) claim() Claim {
	if len(a.owners)+len(a.nodes) < 2 || !slices.ContainsFunc(a.owners, func(p *pod) bool { return p.local != nil }) {
		return Claim{}
	}
	var claim Claim
	for _, p := range a.owners {
		claim.Pods = append(claim.Pods, p.object.Name)
	}
	for _, n := range a.nodes {
		claim.Nodes = append(claim.Nodes, n.object.Name)
	}
	slices.SortFunc(claim.Pods, func(x, y cluster.Name) int {
		return cmp.Or(cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	slices.Sort(claim.Nodes)
	return claim
}
