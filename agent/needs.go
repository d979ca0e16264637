package agent

import (
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// need is something that only some policies speak of, and that is followed only
// if one does.
type need uint8

const (
	needAccounts need = 1 << iota // labels of service accounts
	needNodes                     // nodes beside this one
	needServices                  // where services lead
)

var allNeeds = []need{needAccounts, needNodes, needServices}

// needs counts the policies that have them.
type needs struct {
	of    map[policy.Ref]need // of those that have any
	count map[need]int
}

func newNeeds() *needs { return &needs{of: map[policy.Ref]need{}, count: map[need]int{}} }

// set takes a policy in the place of what it was; nil: it is gone.
func (n *needs) set(ref policy.Ref, p *policy.Policy) {
	now := need(0)
	if p != nil {
		now = needOf(p)
	}
	before := n.of[ref]
	if before == now {
		return
	}
	for _, one := range allNeeds {
		if before&one != 0 {
			n.count[one]--
		}
		if now&one != 0 {
			n.count[one]++
		}
	}
	if now == 0 {
		delete(n.of, ref)
	} else {
		n.of[ref] = now
	}
}

func (n *needs) has(one need) bool { return n.count[one] > 0 }

func needOf(p *policy.Policy) need {
	if p.Dialect == policy.Kubernetes {
		return 0 // its API has no such peers
	}
	all := needOfPods(&p.Subject)
	for _, rules := range []*policy.Rules{p.Ingress, p.Egress} {
		if rules == nil {
			continue
		}
		for _, r := range rules.Rules {
			all |= needOfPeers(slices.Concat(r.Peers, r.Self))
		}
	}
	return all
}

func needOfPeers(peers []policy.Peer) need {
	var all need
	for _, p := range peers {
		all |= needOfPeers(p.And) | needOfPeers(p.Not) | needOfPods(p.Pods)
		if p.Nodes != nil && p.Nodes.Which != policy.OwnNode {
			all |= needNodes
		}
		if p.Services != nil {
			all |= needServices
		}
	}
	return all
}

// needOfPods errs on the side of a need: a value may read like a key.
func needOfPods(s *policy.PodSelector) need {
	if s != nil && s.Pods != nil && strings.Contains(s.Pods.String(), policy.AccountLabels) {
		return needAccounts
	}
	return 0
}
