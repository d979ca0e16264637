package document

import (
	"fmt"
	"strings"
	"testing"
)

// render is a node in one line of JSON's kind, with names in order.
func render(n *Node) string {
	var parts []string
	switch n.Kind {
	case List:
		for _, item := range n.Items {
			parts = append(parts, render(item))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case Map:
		for _, f := range n.Fields {
			parts = append(parts, f.Name+":"+render(f.Value))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case String:
		return fmt.Sprintf("%q", n.Value)
	case Null:
		return "null"
	}
	return n.Value
}

func problems(all []Problem) string {
	var lines []string
	for _, p := range all {
		line := fmt.Sprintf("%d: ", p.Line)
		if p.Path != "" {
			line += p.Path + ": "
		}
		lines = append(lines, line+p.Message)
	}
	return strings.Join(lines, "; ")
}

func TestParse(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"comments", "# a\n---\n# b\n", ""},
		{"only markers", "---\n--- \n--- # c\n# d\n---", ""},
		{"null documents are left out", "---\n---\nnull\n---\n~\n", ""},
		{"one", "a: b\n", `{a:"b"}`},
		{"several", "a: 1\n---\nb: 2\n--- # three\nc: 3\n", `{a:1} {b:2} {c:3}`},
		{"content behind the marker", "--- {a: 1}\n--- b\n", `{a:1} "b"`},
		{"windows line ends", "a: 1\r\n---\r\nb: 2\r\n", `{a:1} {b:2}`},
		{"no last line end", "a: 1\n---\nb: 2\n---", `{a:1} {b:2}`},
		{"byte order mark", "\ufeffa: 1\n", `{a:1}`},
		{"an indented marker is text", "a: |\n  ---\n  b\n", `{a:"---\nb\n"}`},
		{"a marker of more dashes is text", "a: |\n ----\n", `{a:"----\n"}`},
		{"directive", "# c\n%YAML 1.1\n---\na: 1\n", `{a:1}`},
		{"end of document", "a: 1\n...\n---\nb: 2\n", `{a:1} {b:2}`},

		{"kinds", "[1, -2, 1.5, true, false, null, ~, x, '1', \"true\"]", `[1 -2 1.5 true false null null "x" "1" "true"]`},
		{"booleans of YAML 1.1", "[yes, No, on, OFF, y, N, Yes!, 'yes']", `[true false true false true false "Yes!" "yes"]`},
		{"numbers", "[010, 0x1F, 0b11, 1_000, +3, 1e3, 0o17, 99999999999999999999]", `[8 31 3 1000 3 1000 15 1e+20]`},
		{"dates are strings", "[2001-01-01, 2001-01-01T10:00:00Z, 10:20]", `["2001-01-01" "2001-01-01T10:00:00Z" "10:20"]`},
		{"tags", `[!!str 1, !!int "3", !!float 3, !!binary aGk=, !custom x]`, `["1" 3 3 "hi" "x"]`},
		{"keys become strings", "{1: a, on: b, yes2: c, 1.5: d, 0x10: e}", `{1:"a" true:"b" yes2:"c" 1.5:"d" 16:"e"}`},
		{"aliases", "a: &x [1]\nb: *x\n", `{a:[1] b:[1]}`},
		{"alias as key", "a: &x k\n*x : 1\n", `{a:"k" k:1}`},
		{"merge", "a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n", `{a:{k:1 l:2} b:{l:3 k:1}}`},
		{"merge several", "a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y]}\n", `{a:{k:1} b:{k:2 l:2} c:{k:1 l:2}}`},
		{"a quoted merge key is a key", "a: &x {k: 1}\nb: {'<<': *x}\n", `{a:{k:1} b:{<<:{k:1}}}`},

		{"JSON", `{"a": [1, -2.5e3, true, null, "x\u00e9\/"], "b": {}}`, `{a:[1 -2.5e3 true null "xé/"] b:{}}`},
		{"JSON with tabs", "{\n\t\"a\":\t1\n}\n", `{a:1}`},
		{"several JSON values", "{\"a\": 1}\n{\"b\": 2}", `{a:1} {b:2}`},
		{"flow style", "{a: 1, b: [x]}", `{a:1 b:["x"]}`},
		{"several in flow style", "{a: 1}\n---\n{b: 1}", `{a:1} {b:1}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			nodes, wrong := Parse([]byte(row.text))
			if len(wrong) > 0 {
				t.Fatal(problems(wrong))
			}
			var got []string
			for _, n := range nodes {
				got = append(got, render(n))
			}
			if text := strings.Join(got, " "); text != row.want {
				t.Errorf("got  %s\nwant %s", text, row.want)
			}
		})
	}
}

func TestParseInvalid(t *testing.T) {
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	for _, row := range []struct{ name, text, want string }{
		{"binary", "a: b\x00", "1: is a binary file, not YAML or JSON text"},
		{"Latin-1", "a: caf\xe9", "1: is not UTF-8 text: it is a binary file or in another encoding"},
		{"UTF-16", "\xff\xfea\x00", "1: is UTF-16 text: save it as UTF-8"},
		{"control character", "a: \x01", "1: broken YAML: control characters are not allowed"},

		// The line is that of the mistake.
		{"two colons", "a: b\nc: d: e\n", "2: broken YAML: mapping values are not allowed in this context"},
		{"too far in", "spec:\n  a: b\n   c: d\n", "3: broken YAML: mapping values are not allowed in this context"},
		{"not far enough in", "x: 1\nspec:\n  a: b\n c: d\n", "4: broken YAML: did not find expected key"},
		{"far down in a map", "a: 1\nspec:\n  b: 1\n  c: 2\n  d: 3\n e: 4\n", "6: broken YAML: did not find expected key"},
		{"key in a list", "x: 1\nl:\n- a\nb\n", "4: broken YAML: could not find expected ':'"},
		{"list goes on as map", "- a\nb: c\n", "2: broken YAML: did not find expected '-' indicator"},
		{"open list", "a: [1,\n2\nb: c\n", "3: broken YAML: did not find expected ',' or ']'"},
		{"in the only line", "a: [1, }", "1: broken YAML: did not find expected node content"},
		{"at the end", "a: 1\nc: {", "2: broken YAML: did not find expected node content"},
		{"a quote that is never closed", "a: 1\nb: \"x\nc: 1\n", "2: broken YAML: found unexpected end of stream"},
		{"behind a quote", "x: 1\na: 'foo'bar\nb: c\n", "2: broken YAML: did not find expected key"},
		{"tab", "a:\n  b: c\n\td: e\n", "3: broken YAML: found a tab character that violates indentation"},
		{"anchor that is not there", "a: *x\n", "1: broken YAML: unknown anchor 'x' referenced"},
		{"in the third document", "a: 1\n---\nb: 2\n---\nc: d\n e: f\n", "6: broken YAML: mapping values are not allowed in this context"},
		{"each broken document", "a: b: c\n---\nb: 2\n---\nc: d: e\n", "1: broken YAML: mapping values are not allowed in this context; 5: broken YAML: mapping values are not allowed in this context"},
		{"template", "a: {{ .Values.a }}\nb: c: d\n", "2: broken YAML: mapping values are not allowed in this context: if this is a template, render it first"},
		{"template as key", "metadata:\n  labels: {{ .Values.a }}\n", "2: a key must be a string, not a map: if the double braces are a template's, render it first"},
		{"wrong type for a tag", "a: !!int x\n", "1: cannot decode !!str `x` as a !!int"},
		{"bad base64", "a: !!binary '*'\n", "1: decode !!binary value: illegal base64 data at input byte 0"},
		{"binary that is not text", "a: !!binary /w==\n", "1: decode !!binary value: not UTF-8 text"},

		{"key twice", "a: 1\nb: 2\na: 3\n", `3: key "a" is given twice, first in line 1: remove one`},
		{"key twice in different writing", "true: 1\non: 2\n", `2: key "true" is given twice, first in line 1: remove one`},
		{"key twice, deep and far apart", "x:\n- {a: 1, b: 2, a: 3}\n---\ny: {c: 1, c: 2}\n", `2: key "a" is given twice, first in line 2: remove one; 4: key "c" is given twice, first in line 4: remove one`},
		{"key twice in JSON", "{\n\"a\": 1,\n\"a\": 2}", `3: key "a" is given twice, first in line 2: remove one`},
		{"map as key", "?\n  a: b\n: c\n", "2: a key must be a string, not a map"},
		{"null as key", "~: c\n", "1: a key must be a string, not null"},
		{"merge of a list of values", "a: &x [1]\nb:\n  <<: *x\n", "3: a merge key takes a map or a list of maps, not the number 1"},
		{"merge of a value", "b:\n  <<: 1\n", "2: a merge key takes a map or a list of maps, not the number 1"},

		{"JSON without colon", "{\"a\": 1,\n\"b\" 2}", "2: broken JSON: invalid character '2' after object key"},
		{"JSON cut off", "{\"a\": 1,\n\"b\": [1,\n2", "3: broken JSON: unexpected EOF"},
		{"JSON cut off in a string", "{\"a\": \"1", "1: broken JSON: unexpected EOF"},
		{"behind the JSON value", "{\"a\": 1}\n}", "2: broken JSON: invalid character '}' looking for beginning of value"},
		{"flow style", "{a: 1,\nb: [}\n", "2: broken YAML: did not find expected node content"},

		{"deep YAML", "a: " + deep, "1: nests deeper than 500 levels"},
		{"deep JSON", `{"a": ` + deep + "}", "1: nests deeper than 500 levels"},
		{"alias to itself", "a: &x [*x]\n", `1: anchor "x" contains itself`},
		{"alias to itself by merging", "a: &x\n  <<: *x\n", `2: anchor "x" contains itself; 2: a merge key takes a map or a list of maps, not null`},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, wrong := Parse([]byte(row.text))
			if got := problems(wrong); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	tooMany := problems([]Problem{{Line: 1, Message: "has more than 2000000 values: split it"}})
	for name, text := range map[string]string{
		"flow": "[" + strings.Repeat("a,", MaxValues) + "]", "block": strings.Repeat("-\n", MaxValues+1), "JSON": `{"a":[` + strings.Repeat("{},", MaxValues/2) + "0]}",
	} {
		if _, wrong := Parse([]byte(text)); problems(wrong) != tooMany {
			t.Errorf("%s: got %.200s", name, problems(wrong))
		}
	}
	_, wrong := Parse([]byte(strings.Repeat("---\na: [\n", MaxProblems+5)))
	if last := wrong[len(wrong)-1]; len(wrong) != MaxProblems+1 || last.Line != 2*MaxProblems || last.Message != "too many problems, what follows was not read" {
		t.Errorf("%d problems, last %+v", len(wrong), last)
	}
}

func TestBrokenDocumentsDoNotHideOthers(t *testing.T) {
	nodes, wrong := Parse([]byte("a: 1\n---\nb: c: d\n---\ne: 2\n"))
	if len(nodes) != 2 || len(wrong) != 1 || wrong[0].Line != 3 || nodes[1].Line != 5 {
		t.Errorf("got %d documents and %s", len(nodes), problems(wrong))
	}
}

// bomb is YAML in which each level stands for ten of the level before.
func bomb(levels int, open, item, closing string) string {
	var b strings.Builder
	b.WriteString("l0: &l0 " + open + item + closing + "\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "l%d: &l%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i-1), 10), ", "))
	}
	return b.String()
}

func TestAliasesAreBounded(t *testing.T) {
	chain := "a0: &a0 x\n"
	for i := range 600 {
		chain += fmt.Sprintf("a%d: &a%d [*a%d]\n", i+1, i+1, i)
	}
	merges := "m0: &m0 {" + strings.TrimSuffix(strings.Repeat("k%d: 1, ", 2000), ", ") + "}\n"
	keys := make([]any, 2000)
	for i := range keys {
		keys[i] = i
	}
	merges = fmt.Sprintf(merges, keys...)
	for i := range 1000 {
		merges += fmt.Sprintf("n%d: {<<: *m0}\n", i)
	}
	const tooMany = "1: its aliases stand for more than 1000000 values: write out what is needed"
	for _, row := range []struct{ name, text, want string }{
		{"few", bomb(3, "[", "x", "]"), ""},
		{"many", bomb(6, "[", "x", "]"), tooMany},
		{"more than a number can count", bomb(40, "{", "k: x", "}"), tooMany},
		{"merges", merges, tooMany},
		{"a chain", chain, "1: nests deeper than 500 levels"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, wrong := Parse([]byte(row.text))
			if got := problems(wrong); got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestLines(t *testing.T) {
	nodes, wrong := Parse([]byte(`# the first line
a:
  b: 1
  c:
  - d: x
    e.f/g: z
  - null
---
{"j":
  ["x",
   {"k": 1}]}
`))
	if len(wrong) > 0 {
		t.Fatal(problems(wrong))
	}
	for _, row := range []struct {
		path string
		line int
	}{
		{"", 2}, {"a", 2}, {"a.b", 3}, {"a.c", 4}, {"a.c[0]", 5}, {"a.c[0].d", 5}, {"a.c[0][e.f/g]", 6}, {"a.c[1]", 7},
		// What is missing is where it should be.
		{"a.x", 2}, {"a.c[2]", 4}, {"a.c[1].d", 7}, {"a.b.c.d", 3}, {"a.c[x]", 4}, {"x", 2}, {"[0]", 2}, {"a.c[0", 5}, {"..", 2},
	} {
		if got := nodes[0].LineOf(row.path); got != row.line {
			t.Errorf("LineOf(%q) = %d, want %d", row.path, got, row.line)
		}
	}
}
