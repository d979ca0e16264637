package l7

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Name is a pattern of domain names. Make one with the constructor of the API
// that it was written in; the zero value matches no name.
type Name struct {
	text  string // as written, in lower case, without the root's dot
	names *regexp.Regexp
}

// The longest name and label in octets, as text (RFC 1035, 2.3.4).
const (
	longestName  = 253
	longestLabel = 63
)

// label is what wildcards stand for. The underscore is in no host name but in
// many names that are asked for (RFC 8552).
const label = `[-a-z0-9_]`

// ExactName matches one name: Cilium's matchName.
func ExactName(s string) (Name, error) {
	n, err := newName(s, regexp.QuoteMeta)
	if err == nil && strings.Contains(s, "*") {
		return Name{}, fmt.Errorf("name %q: has a *: only patterns may", s)
	}
	return n, err
}

// CiliumPattern is Cilium's matchPattern: * stands for any characters of one
// label, none included; alone it matches every name; **. in front stands for one
// or more labels.
func CiliumPattern(s string) (Name, error) {
	if s == "*" {
		return Name{text: "*", names: regexp.MustCompile(`.*`)}, nil
	}
	return newName(s, func(s string) string {
		head := ""
		if rest, ok := strings.CutPrefix(s, "**."); ok {
			head, s = `(?:`+label+`+\.)+`, rest
		}
		return head + strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, label+`*`)
	})
}

// DomainName is ClusterNetworkPolicy's domainNames: a name, or *. in front of
// one, which stands for one or more labels and so not for the name itself.
func DomainName(s string) (Name, error) {
	head, rest := "", s
	if after, ok := strings.CutPrefix(s, "*."); ok {
		head, rest = `(?:`+label+`+\.)+`, after
	}
	if strings.Contains(rest, "*") {
		return Name{}, fmt.Errorf(`name %q: * may only stand for the labels in front, as in "*.example.com"`, s)
	}
	return newName(s, func(string) string { return head + regexp.QuoteMeta(fold(rest)) })
}

// newName checks a pattern and makes its expression.
func newName(s string, expression func(string) string) (Name, error) {
	text := fold(s)
	if err := checkName(text); err != nil {
		return Name{}, fmt.Errorf("name %q: %w", s, err)
	}
	names, err := regexp.Compile(`\A(?:` + expression(text) + `)\z`)
	if err != nil {
		return Name{}, fmt.Errorf("name %q: %w", s, err)
	}
	return Name{text: text, names: names}, nil
}

// fold is a name in the form in which names are compared (RFC 4343).
func fold(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

func checkName(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if len(s) > longestName {
		return fmt.Errorf("has %d characters, %d is the most", len(s), longestName)
	}
	for _, l := range strings.Split(s, ".") {
		switch {
		case l == "":
			return errors.New("has an empty label")
		case len(l) > longestLabel:
			return fmt.Errorf("label %q has %d characters, %d is the most", l, len(l), longestLabel)
		}
		for _, r := range l {
			if odd(r) {
				return fmt.Errorf("label %q has %q: letters, digits, -, _ and * are allowed", l, r)
			}
		}
	}
	return nil
}

func odd(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '*')
}

// Match tells whether a name fits, in any case and with or without the root's dot.
func (n Name) Match(name string) bool { return n.names != nil && n.names.MatchString(fold(name)) }

// String is the pattern as written, in lower case.
func (n Name) String() string { return n.text }

// Selector is the names that a policy's rules pick peers by. What a pod under the
// policy learns of them counts under the key.
type Selector struct {
	Key   string
	Names []Name
}

// Match tells whether the selector speaks of a name.
func (s Selector) Match(name string) bool {
	for _, n := range s.Names {
		if n.Match(name) {
			return true
		}
	}
	return false
}

// SameKeys tells whether two lists of selectors are the same, in their order.
func SameKeys(a, b []Selector) bool {
	return slices.EqualFunc(a, b, func(a, b Selector) bool { return a.Key == b.Key })
}
