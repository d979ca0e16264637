package selector

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
)

func mustParse(t testing.TB, text string) *Selector {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// set reads "a=x,b=" and "" for no labels.
func set(text string) labels.Set {
	s := labels.Set{}
	for _, pair := range strings.Split(text, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			s[key] = value
		}
	}
	return s
}

func TestMatches(t *testing.T) {
	for _, row := range []struct{ selector, picks, leaves string }{
		{``, ` a=x`, `-`},
		{` all()`, ` a=x`, `-`},
		{`all( )`, ` a=x`, `-`},
		{`global()`, ` a=x`, `-`},
		{`!all()`, `-`, ` a=x`},

		{`a == "x"`, `a=x a=x,b=y`, ` a=y a= b=x`},
		{`a == 'x'`, `a=x`, `a=y`},
		{`a==""`, `a=`, ` a=x`},
		{`a != "x"`, ` a=y b=x`, `a=x`},
		{`a in {"x", "y"}`, `a=x a=y`, ` a=z b=x`},
		{`a in{'x',"y",}`, `a=x a=y`, ` a=z`},
		{`a in {}`, `-`, ` a=x`},
		{`a not in {"x", "y"}`, ` a=z b=x`, `a=x a=y`},
		{`a notin {"x"}`, ` a=z`, `a=x`},
		{`a not in {}`, ` a=x`, `-`},
		{`has(a)`, `a=x a=`, ` b=x`},
		{`has( a )`, `a=x`, ``},
		{`!has(a)`, ` b=x`, `a=x a=`},
		{`a contains "b"`, `a=b a=abc`, ` a=x b=b`},
		{`a starts with "b"`, `a=b a=bc`, ` a=ab b=b`},
		{`a startswith "b"`, `a=bc`, `a=ab`},
		{`a ends with "b"`, `a=b a=ab`, ` a=bc b=b`},
		{`a endswith'b'`, `a=ab`, `a=bc`},
		{`a contains ""`, `a=x a=`, ` b=x`},

		{`!a == "x"`, ` a=y`, `a=x`},
		{`! a != "x"`, `a=x`, ` a=y`},
		{`!!has(a)`, `a=x`, ``},
		{`! ! !has(a)`, ``, `a=x`},

		{`a == "x" && b == "y"`, `a=x,b=y`, ` a=x b=y a=x,b=x`},
		{`a == "x" || b == "y"`, `a=x b=y a=x,b=y`, ` a=y b=x`},
		{`has(a) || has(b) && has(c)`, `a=x b=x,c=x`, `b=x c=x`},
		{`has(a) && has(b) || has(c)`, `a=x,b=x c=x`, `a=x b=x`},
		{`(has(a) || has(b)) && has(c)`, `a=x,c=x b=x,c=x`, `a=x c=x`},
		{`!has(a) && has(b)`, `b=x`, `a=x,b=x `},
		{`!(has(a) && has(b))`, ` a=x b=x`, `a=x,b=x`},
		{`!(has(b) || !has(a))`, `a=x`, ` b=x a=x,b=x`},

		{`has == "x" && in != "y" && all == "z"`, `has=x,all=z`, `has=x,all=z,in=y`},
		{`kubernetes.io/metadata.name == "x_1"`, `kubernetes.io/metadata.name=x_1`, `kubernetes.io/metadata.name=x`},
		{"a\t==\t'it is \"so\"'", `a=it is "so"`, ``},
	} {
		s := mustParse(t, row.selector)
		for _, text := range rows(row.picks) {
			if !s.Matches(set(text)) {
				t.Errorf("%s does not pick {%s}", row.selector, text)
			}
		}
		for _, text := range rows(row.leaves) {
			if s.Matches(set(text)) {
				t.Errorf("%s picks {%s}", row.selector, text)
			}
		}
	}
}

// rows are sets of labels with blanks between them; one that begins with a blank
// has the empty set too, and - stands for none.
func rows(text string) []string {
	if text == "-" {
		return nil
	}
	if strings.Contains(text, `"`) {
		return []string{text}
	}
	return strings.Split(text, " ")
}

func TestString(t *testing.T) {
	for _, row := range []struct{ selector, want string }{
		{``, `all()`},
		{` ( (all()) )`, `all()`},
		{`global()`, `global()`},
		{`a=='x'`, `a == "x"`},
		{`!a=='x'`, `a != "x"`},
		{`!a!='x'`, `a == "x"`},
		{`a in {"x"}`, `a == "x"`},
		{`a not in {"x","x"}`, `a != "x"`},
		{`a in {"y", 'x', "y"}`, `a in {"x", "y"}`},
		{`!a in {"y", 'x'}`, `a not in {"x", "y"}`},
		{`!a startswith 'x'`, `!a starts with "x"`},
		{`a == '"'`, `a == '"'`},
		{`a == "'"`, `a == "'"`},
		{`has(b)&&has(a)&&has(b)`, `has(a) && has(b)`},
		{`has(b) && (has(a) && has(c))`, `has(a) && has(b) && has(c)`},
		{`has(b) || (has(a) || has(c))`, `has(a) || has(b) || has(c)`},
		{`has(c) || has(b) && has(a)`, `(has(a) && has(b)) || has(c)`},
		{`has(a) && all()`, `has(a)`},
		{`has(a) || all()`, `all()`},
		{`!(has(b)||! has(a))`, `!(!has(a) || has(b))`},
		{`!(!(has(a) && has(b)))`, `has(a) && has(b)`},
		{`!all()`, `!all()`},
	} {
		s := mustParse(t, row.selector)
		if s.String() != row.want {
			t.Errorf("%s: %s, want %s", row.selector, s, row.want)
		}
		if again := mustParse(t, s.String()); again.String() != s.String() {
			t.Errorf("%s is read as %s", s, again)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, row := range []struct{ selector, want string }{
		{`b`, `at character 2: expected a comparison, found the end`},
		{`a b`, `at character 3: a label must be followed by ==, !=, in, not in, contains, starts with or ends with`},
		{`a == b`, `at character 6: expected a value in quotes, found b`},
		{`a contains b`, `at character 12: expected a value in quotes, found b`},
		{`'x' == a`, `at character 1: expected a label, has(label), all() or (, found "x"`},
		{`a = "x"`, `at character 3: a label must be followed by ==, !=, in, not in, contains, starts with or ends with`},
		{`a == "x" &`, `at character 10: unexpected "&"`},
		{`a == "x" &&`, `at character 12: expected a label, has(label), all() or (, found the end`},
		{`a == "x" b == "y"`, `at character 10: expected && or ||, found b`},
		{`a == "x`, `at character 6: the quote is not closed`},
		{`a in "x"`, `at character 6: expected values in braces, found "x"`},
		{`a in {"x"`, `at character 10: expected a value in quotes or }, found the end`},
		{`a in {x}`, `at character 7: expected a value in quotes or }, found x`},
		{`a starts "x"`, `at character 3: a label must be followed by ==, !=, in, not in, contains, starts with or ends with`},
		{`a && b`, `at character 6: expected a comparison, found &&`},
		{`has()`, `at character 5: has( must be followed by a label`},
		{`has(a b)`, `at character 7: has( is not closed`},
		{`all(`, `at character 5: all( is not closed`},
		{`(`, `at character 2: expected a label, has(label), all() or (, found the end`},
		{`()`, `at character 2: expected a label, has(label), all() or (, found )`},
		{`(has(a)`, `at character 8: expected ), found the end`},
		{`has(a))`, `at character 7: expected && or ||, found )`},
		{`!`, `at character 2: expected a label, has(label), all() or (, found the end`},
		{"has(a)\n", `at character 7: unexpected "\n"`},
		{`ä == "x"`, `at character 1: unexpected "\xc3"`},
		{`a == "ä" %`, `at character 10: unexpected "%"`},
		{strings.Repeat("(", 200) + "has(a)" + strings.Repeat(")", 200), `at character 101: brackets are nested too deeply`},
	} {
		_, err := Parse(row.selector)
		if err == nil {
			t.Errorf("%s is accepted", row.selector)
		} else if !strings.HasSuffix(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.selector, err, row.want)
		}
	}
}

func TestBuilding(t *testing.T) {
	for _, row := range []struct {
		selector *Selector
		want     string
	}{
		{All(), `all()`},
		{Has("a"), `has(a)`},
		{In("a", "y", "x"), `a in {"x", "y"}`},
		{Not(Has("a")), `!has(a)`},
		{Not(Not(Has("a"))), `has(a)`},
		{And(), `all()`},
		{And(Has("b"), All(), mustParse(t, `has(a) && b == "x"`)), `b == "x" && has(a) && has(b)`},
		{mustParse(t, `!(a == "x" || has(b)) && all()`).Rename(func(k string) string { return "n/" + k }), `!(has(n/b) || n/a == "x")`},
		{mustParse(t, `all()`).Scope(Has("n"), Not(Has("n"))), `has(n)`},
		{mustParse(t, `global()`).Scope(Has("n"), Not(Has("n"))), `!has(n)`},
		{mustParse(t, `global() || a == "x"`).Scope(Has("n"), Not(Has("n"))), `!has(n) || a == "x"`},
		{mustParse(t, `o == "k8s" && has(a)`).Constant("o", "k8s", Has("p")), `has(a) && has(p)`},
		{mustParse(t, `o != "k8s" || has(a)`).Constant("o", "k8s", Has("p")), `!has(p) || has(a)`},
		{mustParse(t, `o in {"x"} && has(a)`).Constant("o", "k8s", Has("p")), `!all() && has(a)`},
		{mustParse(t, `!global() && has(a)`).Scope(Has("n"), Not(Has("n"))), `has(a) && has(n)`},
	} {
		if row.selector.String() != row.want {
			t.Errorf("%s, want %s", row.selector, row.want)
		}
	}
	if !All().PicksAll() || Has("a").PicksAll() {
		t.Error("PicksAll")
	}
}

// What a selector picks meets its requirements.
func TestRequirements(t *testing.T) {
	for _, row := range []struct{ selector, want string }{
		{`all()`, ``},
		{`a == "x"`, `a in (x)`},
		{`a in {"x","y"} && has(b) && c != "z"`, `a in (x,y)`},
		{`a == "x" && b == "y"`, `a in (x),b in (y)`},
		{`a == "x" || b == "y"`, ``},
		{`!a == "x"`, ``},
		{`a in {}`, ``},
		{`a == "no label's value"`, ``},
	} {
		requirements, selectable := mustParse(t, row.selector).Requirements()
		if got := labels.NewSelector().Add(requirements...).String(); got != row.want || !selectable {
			t.Errorf("%s: %s, want %s", row.selector, got, row.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`a == "b" && c in {'d', "e"} || !(has(f) && g not in {})`, `!a starts with "x" || b ends with '"'`, `global() && all()`,
		`a contains "" || (b != "c")`, `has(a)) `, `((((`, "a == 'ü'",
	} {
		f.Add(text, "a=b,c=d", "f=x,g=y")
	}
	f.Fuzz(func(t *testing.T, text, one, two string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("%q becomes %q, which is not read: %v", text, s, err)
		}
		if again.String() != s.String() {
			t.Fatalf("%q becomes %q and then %q", text, s, again)
		}
		for _, l := range []labels.Set{nil, set(one), set(two)} {
			if again.Matches(l) != s.Matches(l) {
				t.Fatalf("%q and %q differ on %v", text, again, l)
			}
			if Not(s).Matches(l) == s.Matches(l) {
				t.Fatalf("%q and its negation agree on %v", text, l)
			}
			checkRequirements(t, s, l)
		}
	})
}

func checkRequirements(t *testing.T, s *Selector, l labels.Set) {
	requirements, _ := s.Requirements()
	for _, r := range requirements {
		if s.Matches(l) && !r.Matches(l) {
			t.Fatalf("%q picks %v, which does not meet %v", s, l, r)
		}
	}
}
