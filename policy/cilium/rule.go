package cilium

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// ruleReader reads one rule.
type ruleReader struct {
	*reader
	draft
	peers   []policy.Peer
	anyPeer bool
	ownNode bool // the peers hold the pod's own node
	unsure  bool // the rule asks for more than is enforced
	wrong   bool // nobody knows what it asks
}

// ports is a part of a rule: ports, and what connections to them must carry.
type ports struct {
	any  bool
	list []policy.Port
	http []l7.HTTP // one of these; empty: anything
	dns  []l7.Name // likewise
}

// rule is the model's rules for one of the API's, at least one.
func (r *reader) rule(d draft) []policy.Rule {
	w := &ruleReader{reader: r, draft: d}
	limited := w.readPeers()
	w.authenticate()
	parts := w.readPorts(limited)
	if w.anyPeer {
		w.peers = nil
	}
	var rules []policy.Rule
	for _, p := range parts {
		rules = append(rules, w.closed(policy.Rule{
			Action: w.action(), AnyPeer: w.anyPeer, Peers: w.peers, AnyPort: p.any, Ports: p.list,
			HTTP: p.http, DNS: p.dns,
		}))
	}
	if len(rules) == 0 {
		rules = []policy.Rule{w.closed(policy.Rule{Action: w.action()})}
	}
	if w.deny && w.ingress && !w.host && (w.ownNode || w.anyPeer) && len(parts) > 0 {
		w.gap(w.path, "the pod's own node is not kept out: it always reaches its pods")
	}
	return rules
}

func (w *ruleReader) action() policy.Action {
	if w.deny {
		return policy.Deny
	}
	return policy.Allow
}

// closed is the rule as far as it may match with what is not enforced of it.
func (w *ruleReader) closed(to policy.Rule) policy.Rule {
	switch {
	case !w.unsure && !w.wrong:
		return to
	case !w.deny:
		return policy.Rule{Action: policy.Allow}
	case w.wrong:
		return policy.Rule{Action: policy.Deny, AnyPeer: true, AnyPort: true}
	}
	return to
}

// mistake notes errors that leave open what the rule matches.
func (w *ruleReader) mistake(errs ...*field.Error) {
	w.wrong = true
	w.fail(errs...)
}

// unknown notes peers that are not enforced.
func (w *ruleReader) unknown(path *field.Path, what string) {
	w.anyPeer = w.anyPeer || w.deny
	if w.deny {
		w.gap(path, what+" not enforced: the rule denies everybody")
	} else {
		w.gap(path, what+" not enforced: the rule allows nobody by it")
	}
}

func (w *ruleReader) authenticate() {
	if w.authentication == nil {
		return
	}
	path := w.path.Child("authentication")
	switch mode := w.authentication.Mode; mode {
	case "disabled":
	case "required", "test-always-fail":
		w.unsure = true
		w.gap(path, "authentication is not enforced: the rule allows nobody")
	default:
		w.mistake(field.NotSupported(path.Child("mode"), mode, []string{"disabled", "required", "test-always-fail"}))
	}
}

// readPeers tells whether the rule says anything of the other end. One that does
// not means everybody if it has ports, and else nobody.
func (w *ruleReader) readPeers() (limited bool) {
	if len(w.requires) > 0 {
		w.mistake(field.Forbidden(w.peersField("Requires"), "is no more: let endpoint selectors ask for the labels"))
	}
	lists := w.lists()
	var given []string
	empty := false
	for _, l := range lists {
		switch {
		case l.length > 0:
			given = append(given, w.peersField(l.name).String()[len(w.path.String())+1:])
			l.read(w.peersField(l.name))
		case l.given && l.emptyIsNobody:
			empty = true
		}
	}
	if len(given) > 1 {
		w.mistake(field.Forbidden(w.path, "must have one kind of peers, has "+strings.Join(given, " and ")+": make them rules of their own"))
	}
	w.anyPeer = w.anyPeer || len(given) == 0 && !empty
	return len(given) > 0
}

// list is one of the lists of other ends.
type list struct {
	name          string
	length        int
	given         bool // it is there, if only empty
	emptyIsNobody bool // and then it means nobody, not everybody
	read          func(*field.Path)
}

func (w *ruleReader) lists() []list {
	return []list{
		{"Endpoints", len(w.endpoints), w.endpoints != nil, true, w.readEndpoints},
		{"CIDR", len(w.cidrs), w.cidrs != nil, true, w.readCIDRs},
		{"CIDRSet", len(w.cidrRules), w.cidrRules != nil, true, w.readCIDRRules},
		{"Entities", len(w.entities), w.entities != nil, true, w.readEntities},
		{"Nodes", len(w.nodes), w.nodes != nil, true, w.readNodes},
		{"Services", len(w.services), w.services != nil, false, w.readServices},
		{"Groups", len(w.groups), w.groups != nil, false, w.readGroups},
		{"FQDNs", len(w.fqdns), w.fqdns != nil, false, w.readFQDNs},
	}
}
