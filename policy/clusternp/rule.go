package clusternp

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

const longestName = 100 // of a rule, in characters

// side is how the API writes a direction.
type side struct{ field, peers, choice string }

var (
	ingress = side{"ingress", "from", "namespaces or pods"}
	egress  = side{"egress", "to", "namespaces, pods, nodes, networks or domainNames"}
)

// rules are nil for a direction without rules, of which the policy says nothing.
func (r *reader) rules(d draft, drafts []rule, s side) *policy.Rules {
	path := r.spec.Child(s.field)
	r.atMost(path, len(drafts), d.most)
	if len(drafts) == 0 {
		return nil
	}
	rules := &policy.Rules{}
	for i, draft := range drafts {
		rules.Rules = append(rules.Rules, r.rule(d, draft, path.Index(i), s))
	}
	return rules
}

// rule reads a rule; what is not understood of it fails closed.
func (r *reader) rule(d draft, from rule, path *field.Path, s side) policy.Rule {
	if n := utf8.RuneCountInString(from.name); n > longestName {
		r.fail(field.TooLong(path.Child("name"), from.name, longestName))
	}
	to := policy.Rule{Name: from.name, Action: r.action(d, from.action, path.Child("action"))}
	peersOK := r.peers(&to, from.peers, path.Child(s.peers), d.most, s.choice)
	portsOK := r.ports(&to, from.ports, path.Child(d.portsField), d.most) && r.namesFit(from, path)
	switch {
	case peersOK && portsOK:
	case to.Action == policy.Allow:
		to.Peers, to.Ports = nil, nil
		to.AnyPort = false
	case !peersOK:
		to = policy.Rule{Name: from.name, Action: policy.Deny, AnyPeer: true, AnyPort: true}
	default:
		to.Action, to.AnyPort, to.Ports = policy.Deny, true, nil
	}
	return to
}

func (r *reader) action(d draft, name string, path *field.Path) policy.Action {
	actions := map[string]policy.Action{d.allow: policy.Allow, "Deny": policy.Deny}
	supported := []string{d.allow, "Deny"}
	if d.pass {
		actions["Pass"] = policy.Pass
		supported = append(supported, "Pass")
	}
	action, ok := actions[name]
	if !ok {
		r.fail(field.NotSupported(path, name, supported))
	}
	return action
}

// namesFit: a port's name can only be resolved on a pod.
func (r *reader) namesFit(from rule, path *field.Path) bool {
	outside := slices.ContainsFunc(from.peers, func(p peer) bool { return p.nodes != nil || p.networks != nil || p.domainNames != nil })
	if outside && slices.ContainsFunc(from.ports, port.named) {
		return r.fail(field.Forbidden(path, "networks, nodes and domainNames have no named ports: give the ports' numbers, or make two rules"))
	}
	return true
}

func (r *reader) ports(to *policy.Rule, ports []port, path *field.Path, most int) bool {
	if ports == nil {
		to.AnyPort = true
		return true
	}
	ok := true
	if len(ports) == 0 {
		ok = r.fail(field.Required(path, "list at least one, or remove the field for every port"))
	}
	r.atMost(path, len(ports), most)
	for i, p := range ports {
		if read, valid := p.read(r, path.Index(i)); valid {
			to.Ports = append(to.Ports, read)
		} else {
			ok = false
		}
	}
	return ok
}

func (r *reader) number(to policy.Port, number int32, path *field.Path) (policy.Port, bool) {
	ok := r.inRange(number, path)
	to.From, to.To = uint16(number), uint16(number)
	return to, ok
}

func (r *reader) span(to policy.Port, start, end int32, path *field.Path) (policy.Port, bool) {
	ok := r.inRange(start, path.Child("start"))
	switch path := path.Child("end"); {
	case !r.inRange(end, path):
		ok = false
	case end < start:
		ok = r.fail(field.Invalid(path, end, fmt.Sprintf("must be greater than start (%d): exchange the two", start)))
	}
	to.From, to.To = uint16(start), uint16(end)
	return to, ok
}

func (r *reader) inRange(number int32, path *field.Path) bool {
	ok := true
	for _, message := range validation.IsValidPortNum(int(number)) {
		ok = r.fail(field.Invalid(path, number, message))
	}
	return ok
}

// one complains unless exactly one field is given.
func (r *reader) one(path *field.Path, given []string, choice string) bool {
	switch len(given) {
	case 0:
		return r.fail(field.Required(path, "give one of "+choice))
	case 1:
		return true
	}
	return r.fail(field.Forbidden(path, fmt.Sprintf("must have exactly one of %s, has %s: make them entries of their own", choice, strings.Join(given, " and "))))
}

func (r *reader) atMost(path *field.Path, have, most int) {
	if have > most {
		r.fail(field.TooMany(path, have, most))
	}
}
