package calico

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/policy"
)

var actions = map[string]policy.Action{"Allow": policy.Allow, "Deny": policy.Deny, "Pass": policy.Pass, "Log": policy.Log}

func (r *reader) rules(list []Rule, path *field.Path, ingress bool) []policy.Rule {
	if len(list) > mostRules {
		r.fail(field.TooMany(path, len(list), mostRules))
	}
	read := make([]policy.Rule, 0, len(list))
	for i := range list {
		read = append(read, r.rule(&list[i], path.Index(i), ingress))
	}
	return read
}

// ruleReader reads one rule.
type ruleReader struct {
	*reader
	from *Rule
	path *field.Path
	// ingress: the source is the other end.
	ingress bool
	// families are the address families that the rule can match.
	families map[bool]bool // by Is4
	unsure   bool          // the rule asks for more than the model's rule does
	wrong    bool          // and nobody knows what, or of whom
}

func (r *reader) rule(from *Rule, path *field.Path, ingress bool) policy.Rule {
	w := &ruleReader{reader: r, from: from, path: path, ingress: ingress, families: map[bool]bool{true: true, false: true}}
	action, known := actions[from.Action]
	if !known {
		r.fail(field.NotSupported(path.Child("action"), from.Action, []string{"Allow", "Deny", "Log", "Pass"}))
	}
	to := policy.Rule{Action: action}
	w.ipVersion()
	w.protocols(&to)
	w.http(&to)
	source, destination := w.entity(&from.Source, path.Child("source")), w.entity(&from.Destination, path.Child("destination"))
	w.sourcePorts()
	other, self := source, destination
	if !ingress {
		other, self = destination, source
	}
	to.Peers, to.AnyPeer = w.peers(other)
	if own, any := w.peers(self); !any {
		to.Self = own
	}
	w.limitFamilies(&to)
	return w.closed(to)
}

// closed is the rule as far as it may match with what is not enforced of it.
func (w *ruleReader) closed(to policy.Rule) policy.Rule {
	quiet := to.Action == policy.Allow || to.Action == policy.Log
	switch {
	case !w.unsure && !w.wrong:
	case quiet:
		return policy.Rule{Action: to.Action}
	case w.wrong:
		return policy.Rule{Action: policy.Deny, AnyPeer: true, AnyPort: true}
	default:
		to.Action = policy.Deny
	}
	return to
}

// mistake notes errors that leave open what the rule matches.
func (w *ruleReader) mistake(errs ...*field.Error) {
	w.wrong = true
	w.fail(errs...)
}

// notEnforced notes a condition of the rule that is not enforced.
func (w *ruleReader) notEnforced(path *field.Path, what string) {
	w.unsure = true
	consequence := "an Allow or Log with it matches nothing, a Deny or Pass denies without regard to it"
	w.gap(path, what+" not enforced: "+consequence)
}

func (w *ruleReader) ipVersion() {
	version := w.from.IPVersion
	if version == nil {
		return
	}
	switch *version {
	case 4:
		w.families[false] = false
	case 6:
		w.families[true] = false
	default:
		w.mistake(field.Invalid(w.path.Child("ipVersion"), *version, "must be 4 or 6"))
	}
}

func (w *ruleReader) sourcePorts() {
	source, path := &w.from.Source, w.path.Child("source")
	if len(source.Ports) > 0 {
		w.portList(source.Ports, path.Child("ports"))
		w.notEnforced(path.Child("ports"), "ports of the source are")
	}
	if len(source.NotPorts) > 0 {
		w.portList(source.NotPorts, path.Child("notPorts"))
		w.notEnforced(path.Child("notPorts"), "ports of the source are")
	}
}

var families = map[bool]netip.Prefix{true: netip.MustParsePrefix("0.0.0.0/0"), false: netip.MustParsePrefix("::/0")}

// limitFamilies keeps the rule to the address families that it can match.
func (w *ruleReader) limitFamilies(to *policy.Rule) {
	switch {
	case w.families[true] && w.families[false]:
		return
	case !w.families[true] && !w.families[false]:
		to.Peers, to.AnyPeer = nil, false
		return
	}
	family := policy.Peer{CIDR: &policy.CIDR{Prefix: families[w.families[true]]}}
	if to.AnyPeer {
		to.Peers, to.AnyPeer = []policy.Peer{family}, false
		return
	}
	for i, p := range to.Peers {
		if !saysFamily(p) {
			to.Peers[i].And = append(slices.Clone(p.And), family)
		}
	}
}

// saysFamily: a block is of one family anyway.
func saysFamily(p policy.Peer) bool {
	return p.CIDR != nil || slices.ContainsFunc(p.And, func(q policy.Peer) bool { return q.CIDR != nil })
}
