package policy

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/traffic"
)

// Text is what the policy says, without its name: the subject and the rules of
// each direction on one line.
//
//	pods namespace=shop {app=web} | ingress isolates (allow [pods] TCP 80)
func (p *Policy) Text() string {
	words := []string{p.Subject.String()}
	if p.Hosts != nil {
		words = append(words, "and", p.Hosts.String())
	}
	for _, d := range []traffic.Direction{traffic.Ingress, traffic.Egress} {
		rules := p.In(d)
		if rules == nil {
			continue
		}
		words = append(words, "| "+d.String())
		if rules.Isolates {
			words = append(words, "isolates")
		}
		for _, r := range rules.Rules {
			words = append(words, "("+r.String()+")")
		}
	}
	return strings.Join(words, " ")
}

// String is what the rule says, without its name: "allow [pods] TCP 80".
func (r Rule) String() string {
	words := []string{r.Action.String()}
	if r.AnyPeer {
		words = append(words, "any peer")
	}
	for _, p := range r.Peers {
		words = append(words, "["+p.String()+"]")
	}
	for _, p := range r.Self {
		words = append(words, "itself ["+p.String()+"]")
	}
	if r.AnyPort {
		words = append(words, "any port")
	}
	for _, p := range r.Ports {
		words = append(words, p.String())
	}
	for _, p := range r.NotPorts {
		words = append(words, "not "+p.String())
	}
	for _, h := range r.HTTP {
		words = append(words, "http "+h.String())
	}
	for _, n := range r.DNS {
		words = append(words, "dns "+n.String())
	}
	return strings.Join(words, " ")
}
