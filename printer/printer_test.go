package printer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

type fruit struct {
	Name  string `json:"name"`
	Price int    `json:"price,omitempty"`
}

func (f fruit) WriteTable(p *Printer) error {
	return p.Columns([][]Cell{{{Text: "name"}, {Text: f.Name, Style: Green}}})
}

type large struct{ fruit }

func (large) WriteJSON(w io.Writer) error {
	_, err := io.WriteString(w, "json in pieces\n")
	return err
}

func (large) WriteYAML(w io.Writer) error {
	_, err := io.WriteString(w, "yaml in pieces\n")
	return err
}

func TestPrint(t *testing.T) {
	for _, row := range []struct {
		format Format
		color  bool
		data   Tabler
		want   string
	}{
		{Table, false, fruit{"fig", 3}, "name  fig\n"},
		{Table, true, fruit{"fig", 3}, "name  \x1b[32mfig\x1b[0m\n"},
		{JSON, true, fruit{"a<b", 0}, "{\n  \"name\": \"a<b\"\n}\n"},
		{YAML, true, fruit{"fig", 3}, "name: fig\nprice: 3\n"},
		{JSON, false, large{}, "json in pieces\n"},
		{YAML, false, large{}, "yaml in pieces\n"},
		{Table, false, large{fruit{"fig", 3}}, "name  fig\n"},
	} {
		var out bytes.Buffer
		p := &Printer{Out: &out, Format: row.format, Color: row.color}
		if err := p.Print(row.data); err != nil {
			t.Fatal(err)
		}
		if out.String() != row.want {
			t.Errorf("%s: got %q, want %q", row.format, &out, row.want)
		}
	}
}

type full struct{}

var errFull = errors.New("no space")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestPrintReportsAFailedWrite(t *testing.T) {
	for _, format := range []Format{Table, JSON, YAML} {
		p := &Printer{Out: full{}, Format: format}
		if err := p.Print(fruit{"fig", 3}); !errors.Is(err, errFull) {
			t.Errorf("%s: error %v", format, err)
		}
	}
}

func TestFormatAsAFlag(t *testing.T) {
	for _, want := range []Format{Table, JSON, YAML} {
		var got Format
		if err := got.Set(want.String()); err != nil || got != want {
			t.Errorf("set %s: %s, %v", want, got, err)
		}
	}
	var f Format
	if err := f.Set("xml"); err == nil || !strings.Contains(err.Error(), "table, json, yaml") {
		t.Errorf("xml: %v", err)
	}
}

func TestColumnsLineUp(t *testing.T) {
	var out bytes.Buffer
	p := &Printer{Out: &out, Color: true}
	rows := [][]Cell{
		{{Text: "ä", Style: Red}, {Text: "one"}, {Text: "x"}},
		{{Text: "long"}, {}, {Text: "y"}},
		{{Text: "z"}, {}},
		{},
	}
	if err := p.Columns(rows); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[31mä\x1b[0m     one  x\nlong       y\nz\n\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestWrap(t *testing.T) {
	words := strings.Fields("aaa bbb ccc dddddddddddd e")
	for _, row := range []struct {
		width int
		want  string
	}{
		{0, "aaa bbb ccc dddddddddddd e"},
		{9, "aaa bbb\n  ccc\n  dddddddddddd\n  e"},
		{10, "aaa bbb\n  ccc\n  dddddddddddd\n  e"},
		{13, "aaa bbb ccc\n  dddddddddddd\n  e"},
	} {
		p := &Printer{Width: row.width}
		if got := p.Wrap(words, 2, 2); got != row.want {
			t.Errorf("width %d: got %q, want %q", row.width, got, row.want)
		}
	}
}
