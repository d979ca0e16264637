package verdict

import (
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// names are how policies are called whose names alone would not do: two of
// different dialects may have the same, and what is staged may be enforced as
// something else.
type names map[policy.Ref]string

var dialectWords = map[policy.Dialect]string{
	policy.Kubernetes: "Kubernetes", policy.Calico: "Calico",
}

// saysDialect: only the kinds of Kubernetes and Calico are called alike.
func saysDialect(kind string) bool { return kind != "NetworkPolicy" }

func namesOf(policies map[policy.Ref]*policy.Policy) names {
	byText := map[string][]policy.Ref{}
	for ref := range policies {
		byText[ref.String()] = append(byText[ref.String()], ref)
	}
	found := names{}
	for text, refs := range byText {
		for _, ref := range refs {
			switch {
			case strings.HasPrefix(ref.Kind, "Staged"):
				found[ref] = ref.Kind + " " + text
			case len(refs) > 1 && saysDialect(ref.Kind):
				found[ref] = ref.Kind + " " + text
			case len(refs) > 1:
				found[ref] = dialectWords[ref.Dialect] + " " + ref.Kind + " " + text
			}
		}
	}
	return found
}

// of is "shop/backend", or "Calico NetworkPolicy shop/backend" where there is
// another of that name.
func (n names) of(ref policy.Ref) string {
	if name, ok := n[ref]; ok {
		return name
	}
	return ref.String()
}

func (n names) join(refs []policy.Ref) string {
	words := make([]string, len(refs))
	for i, ref := range refs {
		words[i] = n.of(ref)
	}
	return strings.Join(slices.Compact(words), ", ")
}
