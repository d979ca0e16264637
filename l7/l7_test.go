package l7

import (
	"strings"
	"testing"
)

func httpOf(t *testing.T, h HTTP) HTTP {
	t.Helper()
	made, err := NewHTTP(h)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestHTTP(t *testing.T) {
	get := Request{Method: "GET", Path: "/products?page=2", Host: "shop", Header: map[string][]string{"x-team": {"a"}, "x-two": {"a", "b"}}}
	for _, test := range []struct {
		name  string
		rule  HTTP
		want  bool
		edits int
	}{
		{"nothing is asked", HTTP{}, true, 0},
		{"method", HTTP{Method: "GET"}, true, 0},
		{"the whole method", HTTP{Method: "GE"}, false, 0},
		{"methods are told apart by case", HTTP{Method: "get"}, false, 0},
		{"the path has the query", HTTP{Path: "/products"}, false, 0},
		{"path", HTTP{Path: `/products(\?.*)?`}, true, 0},
		{"an alternative is in brackets", HTTP{Path: `/x|/products\?page=2|/y`}, true, 0},
		{"the whole path", HTTP{Path: `products.*`}, false, 0},
		{"host", HTTP{Host: "shop"}, true, 0},
		{"another host", HTTP{Host: "shop.example.com"}, false, 0},
		{"all of it", HTTP{Method: "GET", Path: "/other"}, false, 0},
		{"a header", HTTP{Headers: []Header{{Name: "x-team", Value: "a"}}}, true, 0},
		{"a header of another value", HTTP{Headers: []Header{{Name: "x-team", Value: "b"}}}, false, 0},
		{"a header of any value", HTTP{Headers: []Header{{Name: "x-two", AnyValue: true}}}, true, 0},
		{"a header with one value more", HTTP{Headers: []Header{{Name: "x-two", Value: "a"}}}, false, 0},
		{"a header that is not there", HTTP{Headers: []Header{{Name: "x-three", AnyValue: true}}}, false, 0},
		{"a header that is added", HTTP{Headers: []Header{{Name: "x-three", Value: "c", Mismatch: Add}}}, true, 1},
	} {
		h := httpOf(t, test.rule)
		edits, ok := h.Match(&get)
		if ok != test.want || len(edits) != test.edits {
			t.Errorf("%s: matches: %t, edits: %v; want %t and %d", test.name, ok, edits, test.want, test.edits)
		}
	}
}

func TestExpressionsThatAreWrong(t *testing.T) {
	for _, test := range []struct {
		rule HTTP
		want string
	}{
		{HTTP{Method: "("}, `method "("`},
		{HTTP{Path: "/a)|(.*"}, `path "/a)|(.*"`},
		{HTTP{Host: `(?=x)`}, `host "(?=x)"`},
	} {
		if _, err := NewHTTP(test.rule); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want one about %s", test.rule, err, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct {
		api     string
		of      func(string) (Name, error)
		pattern string
		yes, no string
	}{
		{"matchName", ExactName, "API.github.com.", "api.github.com api.GitHub.com.", "github.com xapi.github.com api.github.com.evil.org"},
		{"matchPattern", CiliumPattern, "*", "a a.b.c", ""},
		{"matchPattern", CiliumPattern, "*.example.com", "a.example.com .example.com", "example.com a.b.example.com aexample.com"},
		{"matchPattern", CiliumPattern, "**.example.com", "a.example.com a.b.example.com", "example.com .example.com"},
		{"matchPattern", CiliumPattern, "api-*.example.com", "api-1.example.com api-.example.com", "api.example.com api-1.b.example.com"},
		{"domainNames", DomainName, "*.example.com", "a.example.com a.b.example.com", "example.com xexample.com"},
		{"domainNames", DomainName, "example.com", "example.com", "a.example.com"},
	} {
		n, err := test.of(test.pattern)
		if err != nil {
			t.Errorf("%s %q: %v", test.api, test.pattern, err)
			continue
		}
		for _, name := range strings.Fields(test.yes) {
			if !n.Match(name) {
				t.Errorf("%s %q does not match %q", test.api, test.pattern, name)
			}
		}
		for _, name := range strings.Fields(test.no) {
			if n.Match(name) {
				t.Errorf("%s %q matches %q", test.api, test.pattern, name)
			}
		}
	}
	if (Name{}).Match("a") {
		t.Error("no pattern matches a name")
	}
}

func TestNamesThatAreWrong(t *testing.T) {
	for _, test := range []struct {
		of       func(string) (Name, error)
		in, want string
	}{
		{ExactName, "", "is empty"},
		{ExactName, "a..b", "empty label"},
		{ExactName, "*.example.com", "only patterns may"},
		{ExactName, "exa mple.com", `has ' '`},
		{ExactName, "bücher.example", `has 'ü'`},
		{ExactName, strings.Repeat("a", 64) + ".com", "63 is the most"},
		{CiliumPattern, strings.Repeat("a.", 127) + "com", "253 is the most"},
		{DomainName, "a.*.com", "labels in front"},
		{DomainName, "*", "labels in front"},
	} {
		if _, err := test.of(test.in); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one with %q", test.in, err, test.want)
		}
	}
}

func filterOf(t *testing.T, by string, h HTTP) Filter {
	return Filter{Rules: []Rule{{By: by, HTTP: []HTTP{httpOf(t, h)}}}}
}

func TestFilters(t *testing.T) {
	get, a := filterOf(t, "get", HTTP{Method: "GET"}), filterOf(t, "a", HTTP{Path: "/a"})
	for _, test := range []struct {
		name         string
		filter       Filter
		method, path string
		by           string // empty: refused
	}{
		{"nothing", Filter{}, "GET", "/a", ""},
		{"one", get, "GET", "/b", "get"},
		{"one, refused", get, "PUT", "/a", ""},
		{"either", Either(get, a), "PUT", "/a", "a"},
		{"neither", Either(get, a), "PUT", "/b", ""},
		{"both", Both(get, a), "GET", "/a", "a and get"},
		{"only one of both", Both(get, a), "GET", "/b", ""},
		{"either, of which one is both", Either(Both(get, a), a), "PUT", "/a", "a"},
		{"both, of which one is either", Both(Either(get, a), a), "PUT", "/a", "a and a"},
		{"only known by its text", Shown(get.Lines()), "GET", "/", ""},
	} {
		by, _, ok := test.filter.Request(&Request{Method: test.method, Path: test.path})
		if by != test.by || ok != (test.by != "") {
			t.Errorf("%s: %s %s: %t by %q, want by %q", test.name, test.method, test.path, ok, by, test.by)
		}
	}
}

func TestEqualFiltersHaveEqualIDs(t *testing.T) {
	a, b := filterOf(t, "a", HTTP{Method: "GET"}), filterOf(t, "b", HTTP{Path: "/b"})
	if Either(a, b).ID() != Either(b, a, a).ID() || Both(a, b).ID() != Both(b, a).ID() {
		t.Error("the order counts")
	}
	if Either(a, b).ID() == Both(a, b).ID() {
		t.Error("either is both")
	}
	if Shown(Both(a, b).Lines()).ID() != Both(a, b).ID() {
		t.Error("the text of a filter has another ID than the filter")
	}
}
