package cilium

import (
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// beyondPorts reads what an entry asks besides its ports: more tells whether that
// is anything, enforced whether all of it is.
func (w *ruleReader) beyondPorts(rule *PortRule, to *ports, path *field.Path) (enforced, more bool) {
	enforced = !w.tls(rule, path)
	if rule.Listener != nil {
		w.listener(rule, path.Child("listener"))
		enforced = false
	}
	if rule.Rules.empty() {
		return enforced, false
	}
	return w.l7(rule, to, path) && enforced, true
}

// empty rules ask for nothing.
func (r *L7Rules) empty() bool {
	return r == nil || len(r.HTTP)+len(r.DNS)+len(r.Kafka)+len(r.L7) == 0 && r.L7Proto == ""
}

func (w *ruleReader) notEnforced(path *field.Path, what string) {
	w.gap(path, what+" not enforced: nothing is allowed by it")
}

func (w *ruleReader) tls(rule *PortRule, path *field.Path) bool {
	for name, t := range map[string]*TLSContext{"terminatingTLS": rule.TerminatingTLS, "originatingTLS": rule.OriginatingTLS} {
		if t != nil && (t.Secret == nil || t.Secret.Name == "") {
			w.fail(field.Required(path.Child(name, "secret", "name"), "name the secret with the certificates"))
		}
	}
	names := path.Child("serverNames")
	if rule.ServerNames != nil && len(rule.ServerNames) == 0 {
		w.mistake(field.Required(names, "list at least one, or remove the field"))
	}
	for i, name := range rule.ServerNames {
		w.pattern(name, names.Index(i))
		if slices.Index(rule.ServerNames, name) < i {
			w.fail(field.Duplicate(names.Index(i), name))
		}
	}
	if len(rule.ServerNames) > 0 && !rule.Rules.empty() && rule.TerminatingTLS == nil {
		w.mistake(field.Forbidden(names, "cannot be given along with rules unless terminatingTLS is"))
	}
	switch {
	case rule.TerminatingTLS != nil:
		w.notEnforced(path.Child("terminatingTLS"), "TLS is")
	case rule.OriginatingTLS != nil:
		w.notEnforced(path.Child("originatingTLS"), "TLS is")
	case len(rule.ServerNames) > 0:
		w.notEnforced(names, "names of TLS servers are")
	default:
		return false
	}
	return true
}

func (w *ruleReader) listener(rule *PortRule, path *field.Path) {
	l := rule.Listener
	switch {
	case w.ingress:
		w.mistake(field.Forbidden(path, "is for egress only"))
	case !rule.Rules.empty():
		w.mistake(field.Forbidden(path, "cannot be given along with rules"))
	case l.Name == "":
		w.mistake(field.Required(path.Child("name"), "name the listener"))
	case l.EnvoyConfig == nil || l.EnvoyConfig.Name == "":
		w.mistake(field.Required(path.Child("envoyConfig", "name"), "name the configuration that has the listener"))
	}
	if l.Priority > 100 {
		w.mistake(field.Invalid(path.Child("priority"), l.Priority, "must be between 1 and 100, inclusive"))
	}
	if l.EnvoyConfig != nil && !slices.Contains([]string{"", "CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"}, l.EnvoyConfig.Kind) {
		w.mistake(field.NotSupported(path.Child("envoyConfig", "kind"), l.EnvoyConfig.Kind, []string{"CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"}))
	}
	w.notEnforced(path, "listeners are")
}

// l7 reads what requests must say: one kind of it, over TCP but for DNS. It tells
// whether that is enforced.
func (w *ruleReader) l7(rule *PortRule, to *ports, path *field.Path) bool {
	asked, rules := rule.Rules, path.Child("rules")
	given := 0
	for _, is := range []bool{asked.HTTP != nil, asked.DNS != nil, asked.Kafka != nil, asked.L7Proto != "" || asked.L7 != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		w.mistake(field.Forbidden(rules, "must have one kind of rules: make them entries of their own"))
	}
	if w.host && (w.ingress || len(asked.DNS) == 0) {
		w.mistake(field.Forbidden(rules, "are not for nodes but for DNS rules of egress"))
	}
	w.l7Ports(rule, path.Child("ports"))
	switch {
	case len(asked.HTTP) > 0:
		for i := range asked.HTTP {
			if h, ok := w.http(&asked.HTTP[i], rules.Child("http").Index(i)); ok {
				to.http = append(to.http, h)
			}
		}
		return len(to.http) > 0
	case len(asked.DNS) > 0:
		w.dns(rule, to, rules.Child("dns"))
		return true
	case len(asked.Kafka) > 0:
		w.notEnforced(rules.Child("kafka"), "Kafka rules are")
	default:
		w.notEnforced(rules.Child("l7proto"), "rules of other protocols are")
	}
	return false
}

func (w *ruleReader) l7Ports(rule *PortRule, path *field.Path) {
	dns := len(rule.Rules.DNS) > 0
	for i, p := range rule.Ports {
		path := path.Index(i)
		switch {
		case !dns && p.Protocol != "TCP":
			w.mistake(field.Invalid(path.Child("protocol"), p.Protocol, "must be TCP where requests are looked at"))
		case p.Port == "0":
			w.mistake(field.Invalid(path.Child("port"), p.Port, "must be a port where requests are looked at"))
		case dns && p.EndPort > 0 && fmt.Sprint(p.EndPort) != p.Port:
			w.mistake(field.Forbidden(path.Child("endPort"), "DNS rules are for single ports"))
		}
	}
}

func (w *ruleReader) dns(rule *PortRule, to *ports, path *field.Path) {
	if w.ingress {
		w.mistake(field.Forbidden(path, "is for egress only"))
	}
	if len(rule.Ports) == 0 {
		w.mistake(field.Required(path, "needs the port in ports, such as 53"))
	}
	to.list = slices.DeleteFunc(to.list, func(p policy.Port) bool { return p.Protocol != traffic.TCP && p.Protocol != traffic.UDP })
	for i, s := range rule.Rules.DNS {
		if name, ok := w.name(s, path.Index(i)); ok {
			to.dns = append(to.dns, name)
		}
	}
}

// readFQDNs: names stand for addresses outside the cluster alone.
func (w *ruleReader) readFQDNs(path *field.Path) {
	names := &policy.NameSelector{Policy: w.ref}
	for i, s := range w.fqdns {
		if name, ok := w.name(s, path.Index(i)); ok {
			names.Names = append(names.Names, name)
		}
	}
	w.peers = append(w.peers, policy.Peer{Names: names, Not: inCluster})
}

var (
	domainName    = regexp.MustCompile(`^([-a-zA-Z0-9_]+[.]?)+$`)
	domainPattern = regexp.MustCompile(`^([-a-zA-Z0-9_*]+[.]?)+$`)
	everyName     = regexp.MustCompile(`^[*]+[.]?$`)
	deepPrefix    = regexp.MustCompile(`^[*]{2,}[.]`)
)

const longestName = 255

// name reads a domain name or a pattern of some.
func (w *ruleReader) name(s FQDNSelector, path *field.Path) (l7.Name, bool) {
	pattern := path.Child("matchPattern")
	switch {
	case s.MatchName != "" && s.MatchPattern != "":
		w.mistake(field.Forbidden(path, "must have one of matchName and matchPattern: make them entries of their own"))
	case s.MatchPattern != "" && w.pattern(s.MatchPattern, pattern):
		return w.named(l7.CiliumPattern, canonical(s.MatchPattern), pattern)
	case s.MatchPattern != "":
	case s.MatchName == "":
		w.mistake(field.Required(path, "give matchName or matchPattern"))
	case len(s.MatchName) > longestName:
		w.mistake(field.TooLong(path.Child("matchName"), s.MatchName, longestName))
	case !domainName.MatchString(s.MatchName):
		w.mistake(field.Invalid(path.Child("matchName"), s.MatchName, "must be a domain name; for patterns with * there is matchPattern"))
	default:
		return w.named(l7.ExactName, s.MatchName, path.Child("matchName"))
	}
	return l7.Name{}, false
}

// canonical writes the prefix and the pattern for every name as everybody does.
func canonical(pattern string) string {
	if everyName.MatchString(pattern) {
		return "*"
	}
	return deepPrefix.ReplaceAllString(pattern, "**.")
}

func (w *ruleReader) named(read func(string) (l7.Name, error), text string, path *field.Path) (l7.Name, bool) {
	name, err := read(text)
	if err != nil {
		w.mistake(field.Invalid(path, text, err.Error()))
	}
	return name, err == nil
}

func (w *ruleReader) pattern(pattern string, path *field.Path) bool {
	switch {
	case len(pattern) > longestName:
		w.mistake(field.TooLong(path, pattern, longestName))
		return false
	case !domainPattern.MatchString(pattern):
		w.mistake(field.Invalid(path, pattern, "must be a domain name in which * stands for letters of a label, and a leading **. for one label or more"))
		return false
	}
	return true
}
