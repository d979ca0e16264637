package calico

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/l7"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/traffic"
)

// http reads what a rule asks of requests. Calico asks it of ingress only, and
// looks at the path without the query:
// https://docs.tigera.io/calico/latest/reference/resources/networkpolicy#httpmatch
func (w *ruleReader) http(to *policy.Rule) {
	if w.from.HTTP == nil {
		return
	}
	path := w.path.Child("http")
	var errs field.ErrorList
	if w.from.Action != "Allow" {
		errs = append(errs, field.Forbidden(path, "is for rules that allow only"))
	}
	if !w.ingress {
		errs = append(errs, field.Forbidden(path, "is for ingress rules only"))
	}
	if p := w.from.Protocol; p != nil && protocolOf(p) != traffic.TCP {
		errs = append(errs, field.Invalid(w.path.Child("protocol"), p.String(), "must be TCP or left out where http is given"))
	}
	paths, pathErrs := httpPaths(w.from.HTTP.Paths, path.Child("paths"))
	if errs = append(errs, pathErrs...); len(errs) > 0 {
		w.mistake(errs...)
		return
	}
	asked, err := l7.NewHTTP(l7.HTTP{Method: alternatives(w.from.HTTP.Methods), Path: paths})
	if err != nil {
		w.mistake(field.Invalid(path, w.from.HTTP, err.Error()))
		return
	}
	to.HTTP = []l7.HTTP{asked}
}

// alternatives is an expression for one of some words; empty for any.
func alternatives(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = regexp.QuoteMeta(word)
	}
	return strings.Join(quoted, "|")
}

// httpPaths is an expression for one of some paths, whatever the query; empty for
// any.
func httpPaths(paths []HTTPPath, at *field.Path) (string, field.ErrorList) {
	var parts []string
	var errs field.ErrorList
	for i, p := range paths {
		given := p.Exact + p.Prefix
		switch {
		case p.Exact != "" && p.Prefix != "":
			errs = append(errs, field.Forbidden(at.Index(i), "give exact or prefix, not both"))
		case given == "":
			errs = append(errs, field.Required(at.Index(i), "give exact or prefix"))
		case given[0] != '/' || strings.ContainsAny(given, "?#"):
			errs = append(errs, field.Invalid(at.Index(i), given, "must begin with / and have no query or fragment"))
		case p.Exact != "":
			parts = append(parts, regexp.QuoteMeta(p.Exact)+`(\?.*)?`)
		default:
			parts = append(parts, regexp.QuoteMeta(p.Prefix)+`.*`)
		}
	}
	return strings.Join(parts, "|"), errs
}
