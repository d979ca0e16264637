package matrix

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/printer"
	"github.com/bulkhead-dev/bulkhead/traffic"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

// dual is two pods with both families, and a policy that opens b/server for IPv4
// alone.
func dual() (*cluster.Snapshot, *policy.Set) {
	s := cluster.NewSnapshot()
	addPod(s, "a/client", "n1", "10.1.0.1 fd01::1")
	addPod(s, "b/server", "n2", "10.1.0.2 fd01::2", "TCP 80", "TCP 90")
	return s, set(np("b/p", "", rules(to([]string{"10.1.0.1/32"}, tcp(80, 80))), nil))
}

func answered(s *cluster.Snapshot, set *policy.Set, measured ...string) *Matrix {
	connections := Connections(s, set)
	var found []*traffic.Verdict
	for _, text := range measured {
		var v *traffic.Verdict
		if text != "" {
			v = new(traffic.Verdict)
			if err := v.UnmarshalText([]byte(text)); err != nil {
				panic(err)
			}
		}
		found = append(found, v)
	}
	return New(verdict.New(s, set), connections, found)
}

func TestRowsAsJSON(t *testing.T) {
	deny := set(np("b/p", "", rules(), nil))
	for _, row := range []struct {
		name     string
		set      *policy.Set
		measured []string
		want     string
	}{
		{"model alone", deny, nil, `{"connections":[
{"from":"a/client","to":"b/server","protocol":"UDP","port":53,"verdict":"deny"},
{"from":"a/client","to":"b/server","protocol":"TCP","port":80,"verdict":"deny"}
]}
`},
		{"one was sent", policy.NewSet(), []string{"", "allow"}, `{"connections":[
{"from":"a/client","to":"b/server","protocol":"UDP","port":53,"verdict":"allow"},
{"from":"a/client","to":"b/server","protocol":"TCP","port":80,"verdict":"allow","measured":"allow","agrees":true}
]}
`},
		{"packets disagree", deny, []string{"deny", "allow"}, `{"connections":[
{"from":"a/client","to":"b/server","protocol":"UDP","port":53,"verdict":"deny","measured":"deny","agrees":true},
{"from":"a/client","to":"b/server","protocol":"TCP","port":80,"verdict":"deny","measured":"allow","agrees":false}
]}
`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := printed(t, answered(small(), row.set, row.measured...), printer.JSON); got != row.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func printed(t *testing.T, m *Matrix, format printer.Format) string {
	t.Helper()
	var out bytes.Buffer
	if err := (&printer.Printer{Out: &out, Format: format}).Print(m); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFamiliesAreOneRowUnlessTheyDiffer(t *testing.T) {
	s, open := dual()
	got := printed(t, answered(s, open), printer.JSON)
	want := `{"connections":[
{"from":"a/client","to":"b/server","protocol":"TCP","port":80,"family":"IPv4","verdict":"allow"},
{"from":"a/client","to":"b/server","protocol":"TCP","port":80,"family":"IPv6","verdict":"deny"},
{"from":"a/client","to":"b/server","protocol":"TCP","port":90,"verdict":"deny"}
]}
`
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestFamiliesDifferWhenPacketsDo(t *testing.T) {
	s, _ := dual()
	for _, row := range []struct {
		measured string // IPv4 and IPv6 of port 80, then of port 90
		rows     int
		families int
	}{
		{"allow allow allow allow", 2, 0},
		{"allow deny allow allow", 3, 2},
		{"allow - allow allow", 3, 2},
		{"- - - -", 2, 0},
	} {
		measured := strings.Fields(strings.ReplaceAll(row.measured, "-", "none"))
		for i := range measured {
			measured[i] = strings.TrimPrefix(measured[i], "none")
		}
		m := answered(s, policy.NewSet(), measured...)
		families := 0
		for _, r := range m.Rows {
			if r.Family != "" {
				families++
			}
		}
		if len(m.Rows) != row.rows || families != row.families {
			t.Errorf("%s: %d rows, %d with a family; want %d and %d", row.measured, len(m.Rows), families, row.rows, row.families)
		}
	}
}

func TestJSONAndYAMLSayTheSame(t *testing.T) {
	for _, m := range []*Matrix{
		answered(small(), policy.NewSet(), "allow", "deny"),
		answered(dual()),
		{Rows: []Row{}},
	} {
		for _, format := range []printer.Format{printer.JSON, printer.YAML} {
			var decoded Matrix
			if err := yaml.UnmarshalStrict([]byte(printed(t, m, format)), &decoded); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, &decoded); diff != "" {
				t.Errorf("%s: %s", format, diff)
			}
		}
	}
}

func TestTally(t *testing.T) {
	yes, no := traffic.Allow, traffic.Deny
	rows := func(measured ...*traffic.Verdict) *Matrix {
		m := &Matrix{}
		for i, found := range measured {
			r := Row{Verdict: traffic.Verdict(i % 2)}
			r.measure(found)
			m.Rows = append(m.Rows, r)
		}
		return m
	}
	for _, row := range []struct {
		m    *Matrix
		want string
	}{
		{rows(nil, nil, nil), "1 allowed, 2 denied"},
		{rows(&no, &yes), "1 allowed, 1 denied; packets agree with all"},
		{rows(&no, nil), "1 allowed, 1 denied; packets agree with all 1 that were sent, 1 not sent"},
		{rows(&no, &no, &yes), "1 allowed, 2 denied; packets disagree with 2 of 3"},
		{rows(nil, &no, &yes), "1 allowed, 2 denied; packets disagree with 2 of 2, 1 not sent"},
	} {
		if got := row.m.Tally().String(); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
}

var errFull = errors.New("no space")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAFailedWriteIsReported(t *testing.T) {
	for _, width := range []int{0, 10} {
		for _, format := range []printer.Format{printer.Table, printer.JSON, printer.YAML} {
			p := &printer.Printer{Out: full{}, Format: format, Width: width}
			if err := p.Print(answered(small(), policy.NewSet())); !errors.Is(err, errFull) {
				t.Errorf("%s: error %v", format, err)
			}
		}
	}
}
