package cilium

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/l7"
)

// http reads what a request must be; not ok if that is not understood or cannot be
// told.
func (w *ruleReader) http(rule *HTTPRule, path *field.Path) (l7.HTTP, bool) {
	ok := true
	for _, e := range []struct{ field, text string }{{"host", rule.Host}, {"method", rule.Method}, {"path", rule.Path}} {
		if _, err := regexp.Compile(e.text); err != nil {
			w.mistake(field.Invalid(path.Child(e.field), e.text, "must be a regular expression as RE2 knows them: "+err.Error()))
			ok = false
		}
	}
	asked := l7.HTTP{Method: rule.Method, Path: rule.Path, Host: rule.Host}
	for _, text := range rule.Headers {
		asked.Headers = append(asked.Headers, headerOf(text))
	}
	for i := range rule.HeaderMatches {
		h, known := w.header(&rule.HeaderMatches[i], path.Child("headerMatches").Index(i))
		asked.Headers = append(asked.Headers, h)
		ok = ok && known
	}
	if !ok {
		return l7.HTTP{}, false
	}
	read, err := l7.NewHTTP(asked)
	if err != nil {
		w.mistake(field.Invalid(path, asked.String(), err.Error()))
	}
	return read, err == nil
}

// headerOf reads "X-Key" and "X-Key: value", in which Cilium splits at the first
// space and needs no colon.
func headerOf(text string) l7.Header {
	name, value, given := strings.Cut(text, " ")
	if !given {
		return l7.Header{Name: strings.ToLower(name), AnyValue: true}
	}
	return l7.Header{Name: strings.ToLower(strings.TrimRight(name, ":")), Value: value}
}

var mismatches = map[string]l7.Mismatch{"": l7.Refuse, "LOG": l7.LogIt, "ADD": l7.Add, "DELETE": l7.Delete, "REPLACE": l7.Replace}

// header reads a header that a request must have. What is in a secret nobody knows.
func (w *ruleReader) header(m *HeaderMatch, path *field.Path) (h l7.Header, known bool) {
	mismatch, ok := mismatches[m.Mismatch]
	if !ok {
		w.mistake(field.NotSupported(path.Child("mismatch"), m.Mismatch, []string{"LOG", "ADD", "DELETE", "REPLACE"}))
	}
	if m.Name == "" {
		ok = false
		w.mistake(field.Required(path.Child("name"), "name the header"))
	}
	switch secret := path.Child("secret"); {
	case m.Secret == nil:
	case m.Secret.Name == "":
		ok = false
		w.mistake(field.Required(secret.Child("name"), "name the secret with the header's value"))
	default:
		ok = false
		w.notEnforced(secret, "values in secrets are")
	}
	return l7.Header{
		Name: strings.ToLower(m.Name), Value: m.Value, AnyValue: m.Value == "" && mismatch == l7.Refuse, Mismatch: mismatch,
	}, ok
}
