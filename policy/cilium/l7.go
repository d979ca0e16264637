package cilium

import (
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// beyondPorts reads what an entry asks besides its ports, and tells whether that
// is anything; the entry then allows nothing.
func (w *ruleReader) beyondPorts(rule *PortRule, path *field.Path) bool {
	found := w.tls(rule, path)
	if rule.Listener != nil {
		w.listener(rule, path.Child("listener"))
		found = true
	}
	if !rule.Rules.empty() {
		w.l7(rule, path)
		found = true
	}
	return found
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

// l7 reads what requests must say; one kind of it, over TCP but for DNS.
func (w *ruleReader) l7(rule *PortRule, path *field.Path) {
	l7, rules := rule.Rules, path.Child("rules")
	given := 0
	for _, is := range []bool{l7.HTTP != nil, l7.DNS != nil, l7.Kafka != nil, l7.L7Proto != "" || l7.L7 != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		w.mistake(field.Forbidden(rules, "must have one kind of rules: make them entries of their own"))
	}
	if w.host && (w.ingress || len(l7.DNS) == 0) {
		w.mistake(field.Forbidden(rules, "are not for nodes but for DNS rules of egress"))
	}
	w.l7Ports(rule, path.Child("ports"))
	switch {
	case len(l7.HTTP) > 0:
		for i := range l7.HTTP {
			w.http(&l7.HTTP[i], rules.Child("http").Index(i))
		}
		w.notEnforced(rules.Child("http"), "HTTP rules are")
	case len(l7.DNS) > 0:
		w.dns(rule, rules.Child("dns"))
	case len(l7.Kafka) > 0:
		w.notEnforced(rules.Child("kafka"), "Kafka rules are")
	default:
		w.notEnforced(rules.Child("l7proto"), "rules of other protocols are")
	}
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

func (w *ruleReader) dns(rule *PortRule, path *field.Path) {
	if w.ingress {
		w.mistake(field.Forbidden(path, "is for egress only"))
	}
	if len(rule.Ports) == 0 {
		w.mistake(field.Required(path, "needs the port in ports, such as 53"))
	}
	for i, s := range rule.Rules.DNS {
		w.names(s, path.Index(i))
	}
	w.notEnforced(path, "DNS rules are")
}

func (w *ruleReader) readFQDNs(path *field.Path) {
	for i, s := range w.fqdns {
		w.names(s, path.Index(i))
	}
	w.unknown(path, "domain names are")
}

var (
	domainName    = regexp.MustCompile(`^([-a-zA-Z0-9_]+[.]?)+$`)
	domainPattern = regexp.MustCompile(`^([-a-zA-Z0-9_*]+[.]?)+$`)
)

const longestName = 255

// names reads a domain name or a pattern of some.
func (w *ruleReader) names(s FQDNSelector, path *field.Path) {
	switch {
	case s.MatchName != "" && s.MatchPattern != "":
		w.mistake(field.Forbidden(path, "must have one of matchName and matchPattern: make them entries of their own"))
	case s.MatchPattern != "":
		w.pattern(s.MatchPattern, path.Child("matchPattern"))
	case s.MatchName == "":
		w.mistake(field.Required(path, "give matchName or matchPattern"))
	case len(s.MatchName) > longestName:
		w.mistake(field.TooLong(path.Child("matchName"), s.MatchName, longestName))
	case !domainName.MatchString(s.MatchName):
		w.mistake(field.Invalid(path.Child("matchName"), s.MatchName, "must be a domain name; for patterns with * there is matchPattern"))
	}
}

func (w *ruleReader) pattern(pattern string, path *field.Path) {
	switch {
	case len(pattern) > longestName:
		w.mistake(field.TooLong(path, pattern, longestName))
	case !domainPattern.MatchString(pattern):
		w.mistake(field.Invalid(path, pattern, "must be a domain name in which * stands for letters of a label, and a leading **. for one label or more"))
	}
}
