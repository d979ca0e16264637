package verdict

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// content is what policies ask of the content of a pod's connections.
type content struct {
	asked bool // some rule asks for it
	names bool // some rule picks its peers by name, and so has to see the DNS
}

func (c content) or(o content) content { return content{c.asked || o.asked, c.names || o.names} }

func contentOf(p *policy.Policy, d traffic.Direction) content {
	asks := func(r policy.Rule) bool { return r.Inspects().Inspects() }
	return content{
		asked: slices.ContainsFunc(p.In(d).Rules, asks),
		names: d == traffic.Egress && len(p.NameSelectors()) > 0,
	}
}

// matchesContent tells whether a rule's content fits: that of the connection if
// it is given, or else what is assumed.
func (q *question) matchesContent(rule *policy.Rule) bool {
	kind := rule.Inspects()
	switch {
	case !kind.Inspects():
		return true
	case !carries(q.Connection, kind):
		return false
	case q.given() == traffic.Deny:
		return q.assumed == kind
	case kind == traffic.InspectHTTP:
		return q.Request != nil && slices.ContainsFunc(rule.HTTP, func(h l7.HTTP) bool {
			_, ok := h.Match(q.Request)
			return ok
		})
	}
	return q.Query != "" && slices.ContainsFunc(rule.DNS, func(n l7.Name) bool { return n.Match(q.Query) })
}

// carries tells whether a connection's protocol can have a kind of content.
func carries(c Connection, kind traffic.Verdict) bool {
	return c.Protocol == traffic.TCP || kind == traffic.InspectDNS && c.Protocol == traffic.UDP
}

// decide takes the connection through the tiers. Where the content matters and
// is not given, the connection is inspected: if it would be allowed with content
// of one kind that fits, and denied with other content. Content that is given
// counts only where content of its kind is looked at.
func (q *question) decide(stages []stage, trail *trail) finding {
	all := content{}
	for _, s := range stages {
		all = all.or(s.content)
	}
	given := q.given()
	if all.asked {
		request, query := q.Request, q.Query
		q.Request, q.Query = nil, ""
		if q.assumed = q.neededContent(stages); given != traffic.Deny {
			if q.assumed == given {
				q.Request, q.Query = request, query
			}
			q.assumed = traffic.Deny
		}
	}
	f := q.pass(stages, trail)
	if f.verdict == traffic.Allow && q.assumed.Inspects() {
		f.verdict = q.assumed
	}
	if f.verdict == traffic.Allow && all.names && given == traffic.Deny && q.asksDNS() {
		f.verdict = traffic.InspectDNS
	}
	return f
}

// given is the kind of content that the question has; Deny: none.
func (q *question) given() traffic.Verdict {
	switch {
	case q.Request != nil:
		return traffic.InspectHTTP
	case q.Query != "":
		return traffic.InspectDNS
	}
	return traffic.Deny
}

// neededContent is the one kind of content that the connection depends on; Deny
// if it is none, or there is no such kind.
func (q *question) neededContent(stages []stage) traffic.Verdict {
	allowed := func(assumed traffic.Verdict) bool {
		q.assumed = assumed
		return q.pass(stages, nil).verdict == traffic.Allow
	}
	http, dns := allowed(traffic.InspectHTTP), allowed(traffic.InspectDNS)
	switch {
	case allowed(traffic.Deny) || http == dns:
		return traffic.Deny
	case http:
		return traffic.InspectHTTP
	}
	return traffic.InspectDNS
}

// portDNS is where queries go (RFC 1035, 4.2).
const portDNS = 53

// asksDNS tells whether a connection is one that the answers to names come by.
func (q *question) asksDNS() bool {
	return carries(q.Connection, traffic.InspectDNS) && q.Port == portDNS
}
