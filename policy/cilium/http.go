package cilium

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// http validates what a request must be.
func (w *ruleReader) http(rule *HTTPRule, path *field.Path) {
	for name, text := range map[string]string{"path": rule.Path, "method": rule.Method, "host": rule.Host} {
		if _, err := regexp.Compile(text); err != nil {
			w.mistake(field.Invalid(path.Child(name), text, "must be a regular expression as RE2 knows them: "+err.Error()))
		}
	}
	for i := range rule.HeaderMatches {
		w.header(&rule.HeaderMatches[i], path.Child("headerMatches").Index(i))
	}
}

func (w *ruleReader) header(m *HeaderMatch, path *field.Path) {
	if m.Name == "" {
		w.mistake(field.Required(path.Child("name"), "name the header"))
	}
	switch m.Mismatch {
	case "", "LOG", "ADD", "DELETE", "REPLACE":
	default:
		w.mistake(field.NotSupported(path.Child("mismatch"), m.Mismatch, []string{"LOG", "ADD", "DELETE", "REPLACE"}))
	}
	if m.Secret != nil && m.Secret.Name == "" {
		w.mistake(field.Required(path.Child("secret", "name"), "name the secret with the header's value"))
	}
}
