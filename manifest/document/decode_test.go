package document

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type target struct {
	inline `json:",inline"`
	Meta   inlined            `json:"meta"`
	Text   string             `json:"text"`
	Word   word               `json:"word"`
	Flag   *bool              `json:"flag"`
	Small  int32              `json:"small"`
	Large  int64              `json:"large,omitempty"`
	List   []*item            `json:"list"`
	Map    map[string]string  `json:"map"`
	Port   intstr.IntOrString `json:"port"`
	Time   metav1.Time        `json:"time"`
	Raw    metav1.FieldsV1    `json:"raw"`
	Hidden string             `json:"-"`
	Bytes  [2]int             `json:"bytes"`
	Share  *float64           `json:"share"`
	Number uint16             `json:"number"`
}

type (
	word    string
	inlined struct {
		Name string `json:"name"`
	}
	inline struct {
		Kind string `json:"kind"`
	}
	item struct {
		A string  `json:"a"`
		B []int32 `json:"b"`
	}
)

func parseOne(t testing.TB, text string) *Node {
	t.Helper()
	nodes, wrong := Parse([]byte(text))
	if len(wrong) > 0 || len(nodes) != 1 {
		t.Fatalf("parse %s: %d documents, %s", text, len(nodes), problems(wrong))
	}
	return nodes[0]
}

func TestDecode(t *testing.T) {
	yes, share := true, -1.5
	for _, row := range []struct {
		text string
		want target
	}{
		{`{}`, target{}},
		{`{text: a, word: b, flag: true, small: -5, large: 1099511627776, kind: k, meta: {name: m}}`,
			target{Text: "a", Word: "b", Flag: &yes, Small: -5, Large: 1 << 40, inline: inline{"k"}, Meta: inlined{"m"}}},
		{`{list: [{a: x, b: [1, 2]}, {}, null]}`, target{List: []*item{{"x", []int32{1, 2}}, {}, nil}}},
		{`{list: [], map: {}}`, target{List: []*item{}, Map: map[string]string{}}},
		{`{list: null, map: null, text: null, flag: null, port: null, meta: null}`, target{}},
		{`{map: {a: b, "1": "2", 3: x}}`, target{Map: map[string]string{"a": "b", "1": "2", "3": "x"}}},
		{`{port: 80}`, target{Port: intstr.FromInt32(80)}},
		{`{port: http}`, target{Port: intstr.FromString("http")}},
		{`{port: "80"}`, target{Port: intstr.FromString("80")}},
		{`{small: 0x10, large: 1e3}`, target{Small: 16, Large: 1000}},
		{`{share: -1.5, number: 65535}`, target{Share: &share, Number: 65535}},
		{`{raw: {anything: [goes, {here: 1}]}}`, target{}},
	} {
		var got target
		if wrong := Decode(parseOne(t, row.text), &got); len(wrong) > 0 {
			t.Errorf("%s: %s", row.text, problems(wrong))
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %+v, want %+v", row.text, got, row.want)
		}
	}
}

func TestDecodeInvalid(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`[a]`, "1: must be a map, is a list"},
		{`text: 80`, "1: text: must be a string, is the number 80: put it in quotes"},
		{`text: yes`, "1: text: must be a string, is the boolean yes: put it in quotes"},
		{`text: [a]`, "1: text: must be a string, is a list"},
		{`flag: "true"`, `1: flag: must be true or false, is the string "true": remove the quotes`},
		{`small: "80"`, `1: small: must be a whole number of 32 bits, is the string "80": remove the quotes`},
		{`small: 4294967296`, "1: small: must be a whole number of 32 bits, is the number 4294967296"},
		{`small: 1.5`, "1: small: must be a whole number of 32 bits, is the number 1.5"},
		{`large: .nan`, "1: large: must be a whole number of 64 bits, is the number .nan"},
		{"list:\n  a: x", "1: list: must be a list, is a map: start the entry with a dash"},
		{"list:\n- a: x\n- a: 1\n  b:\n  - 1\n  - x", `3: list[1].a: must be a string, is the number 1: put it in quotes; 6: list[1].b[1]: must be a whole number of 32 bits, is the string "x": remove the quotes`},
		{`map: [a]`, "1: map: must be a map, is a list: write it as name: value"},
		{"map:\n  a: b\n  c/d: 1", "3: map[c/d]: must be a string, is the number 1: put it in quotes"},
		{`port: [80]`, "1: port: must be a whole number or a name, is a list"},
		{`port: true`, "1: port: must be a whole number or a name, is the boolean true"},
		{`port: 99999999999`, "1: port: must be a whole number or a name, is the number 99999999999"},
		{`time: today`, `1: time: must be a time such as 2006-01-02T15:04:05Z, is the string "today"`},
		{`share: .nan`, "1: share: must be a number, is the number .nan"},
		{`share: half`, `1: share: must be a number, is the string "half": remove the quotes`},
		{`number: 65536`, "1: number: must be a whole number from 0 to 65535, is the number 65536"},
		{`number: -1`, "1: number: must be a whole number from 0 to 65535, is the number -1"},
		{`bytes: [1]`, "1: bytes: cannot be read as [2]int"},
		{"a: 1\ntexd: x\nkind: k", "1: a: unknown field: remove it, known here are bytes, flag, kind, large, list, map, meta, number, port, raw, share, small, text, time, word; 2: texd: unknown field: did you mean text?"},
		{`TEXT: x`, "1: TEXT: unknown field: did you mean text?"},
		{`-: x`, "1: -: unknown field: remove it, known here are bytes, flag, kind, large, list, map, meta, number, port, raw, share, small, text, time, word"},
		{"list:\n- a: x\n  word: y", "3: list[0].word: unknown field: it belongs to the top of the object, check the indentation"},
		{`text: ` + strings.Repeat("x", 70) + "\nsmall: " + strings.Repeat("y", 70), `2: small: must be a whole number of 32 bits, is the string "` + strings.Repeat("y", 60) + `…": remove the quotes`},
	} {
		var got target
		if text := problems(Decode(parseOne(t, row.text), &got)); text != row.want {
			t.Errorf("%s\ngot  %s\nwant %s", row.text, text, row.want)
		}
		if got.Hidden != "" {
			t.Errorf("%s: a field that is not in JSON is filled", row.text)
		}
	}
}

func TestDecodeFields(t *testing.T) {
	wanted := FieldsOf("text", "list.a", "meta", "gone.x")
	var got target
	n := parseOne(t, "{text: a, word: [not looked at], list: [{a: x, b: nonsense, c: d}], meta: {name: m, unknown: 1}, gone: {x: 1}, unknown: 1}")
	if wrong := DecodeFields(n, &got, wanted); len(wrong) > 0 {
		t.Error(problems(wrong))
	}
	want := target{Text: "a", List: []*item{{A: "x"}}, Meta: inlined{"m"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wrong := DecodeFields(parseOne(t, "{text: 1, list: [{a: [x]}]}"), &got, wanted)
	if text := problems(wrong); text != "1: text: must be a string, is the number 1: put it in quotes; 1: list[0].a: must be a string, is a list" {
		t.Error(text)
	}
}

// These are the mistakes that people make in policies.
func TestUnknownFieldsOfPolicies(t *testing.T) {
	for _, row := range []struct{ spec, want string }{
		{"podselector: {}", "spec.podselector: unknown field: did you mean podSelector?"},
		{"podSelectors: {}", "spec.podSelectors: unknown field: did you mean podSelector?"},
		{"policyType: [Egress]", "spec.policyType: unknown field: did you mean policyTypes?"},
		{"ingres: []", "spec.ingres: unknown field: did you mean ingress?"},
		{"ingress: [{to: []}]", "spec.ingress[0].to: unknown field: remove it, known here are from, ports"},
		{"ingress: [{from: [{podSelector: {app: web}}]}]", "spec.ingress[0].from[0].podSelector.app: unknown field: remove it, known here are matchExpressions, matchLabels"},
		{"ingress: [{from: [{podSelector: {matchlabels: {a: b}}}]}]", "spec.ingress[0].from[0].podSelector.matchlabels: unknown field: did you mean matchLabels?"},
		{"ingress: [{from: [{ports: [{port: 80}]}]}]", "spec.ingress[0].from[0].ports: unknown field: it belongs to spec.ingress[0], check the indentation and the dashes"},
		{"ingress: [{egress: []}]", "spec.ingress[0].egress: unknown field: it belongs to spec, check the indentation and the dashes"},
		{"ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, expect: []}}]}]", "spec.ingress[0].from[0].ipBlock.expect: unknown field: did you mean except?"},
		{"ingress: [{ports: [{port: 80, endport: 90}]}]", "spec.ingress[0].ports[0].endport: unknown field: did you mean endPort?"},
		{"ingress: {from: []}", "spec.ingress: must be a list, is a map: start the entry with a dash"},
		{"ingress: [{from: {podSelector: {}}}]", "spec.ingress[0].from: must be a list, is a map: start the entry with a dash"},
		{"ingress: [{from: [{ipBlock: 10.0.0.0/8}]}]", "spec.ingress[0].from[0].ipBlock: must be a map, is the string \"10.0.0.0/8\""},
		{"podSelector: {matchLabels: {a: 1, b: yes}}", "spec.podSelector.matchLabels[a]: must be a string, is the number 1: put it in quotes; 1: spec.podSelector.matchLabels[b]: must be a string, is the boolean yes: put it in quotes"},
	} {
		var p networkingv1.NetworkPolicy
		if got := problems(Decode(parseOne(t, "{spec: {"+row.spec+"}}"), &p)); got != "1: "+row.want {
			t.Errorf("%s\ngot  %s\nwant 1: %s", row.spec, got, row.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"Deployment", "NetworkPolicy", "StatefulSet"}
	for word, want := range map[string]string{
		"deployment": "Deployment", "Deploymnet": "Deployment", "NetworkPolcy": "NetworkPolicy", "NetworkPolicies": "NetworkPolicy",
		"StatefulSets": "StatefulSet", "ReplicaSet": "", "Ingress": "", "": "", strings.Repeat("NetworkPolicy", 10): "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	for _, row := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "bc", 1}, {"abc", "acb", 2}, {"kitten", "sitting", 3}} {
		if got := distance(row.a, row.b); got != row.want {
			t.Errorf("distance(%q, %q) = %d, want %d", row.a, row.b, got, row.want)
		}
	}
}

func TestNames(t *testing.T) {
	var n names
	for i := range 3 * fewNames {
		if first := n.add(&Field{Name: fmt.Sprint(i), Line: i}); first != nil {
			t.Fatalf("%d is known", i)
		}
	}
	for i := range 3 * fewNames {
		if first := n.add(&Field{Name: fmt.Sprint(i)}); first == nil || first.Line != i {
			t.Errorf("%d: %+v", i, first)
		}
	}
}

func TestAtAndWithout(t *testing.T) {
	n := parseOne(t, "{a: {b: [x, {c: d}]}, e: f}")
	for path, want := range map[string]string{"": "a map", "a.b": "a list", "a.b[1].c": `the string "d"`, "e": `the string "f"`, "a.b[2]": "", "x": "", "e.f": ""} {
		got := ""
		if at := n.At(path); at != nil {
			got = at.String()
		}
		if got != want {
			t.Errorf("At(%q) = %q, want %q", path, got, want)
		}
	}
	if got := render(n.Without("a")); got != `{e:"f"}` || render(n) == got {
		t.Errorf("without a: %s, left %s", got, render(n))
	}
	if n.Without("x") != n {
		t.Error("a copy without need")
	}
}
