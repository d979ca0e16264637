package manifest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad: no input makes Load panic; it is refused with errors that have a
// place, or gives a bundle that others can build on and that can be written and
// read again.
func FuzzLoad(f *testing.F) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		f.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		archive, err := txtar.ParseFile(story)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name != "want" {
				f.Add(file.Data, uint8(len(file.Data)%4))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, nodes uint8) {
		opts := Options{Nodes: int(nodes % 8), maxPods: 500}
		b, err := Load([]string{Stdin}, opts, bytes.NewReader(data))
		if err != nil {
			checkErrors(t, err, 1+len(lineBreaks.FindAll(data, -1)))
			return
		}
		checkInvariants(t, b)
		var written bytes.Buffer
		if err := b.Write(&written); err != nil {
			t.Fatal(err)
		}
		if len(b.Objects) == 0 {
			return
		}
		opts.Keep = b.Snapshot
		again, err := Load([]string{Stdin}, opts, &written)
		if err != nil {
			t.Fatalf("written and not read again: %v", err)
		}
		if !reflect.DeepEqual(again.Snapshot, b.Snapshot) {
			t.Error(diff(describe(b), describe(again)))
		}
	})
}

// lineBreaks are those of YAML 1.1.
var lineBreaks = regexp.MustCompile("[\n\r\u0085\u2028\u2029]")

func checkErrors(t *testing.T, err error, lines int) {
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("error of type %T: %v", err, err)
	}
	for _, e := range all {
		if e.File != Stdin || e.Line < 0 || e.Line > lines || e.Message == "" {
			t.Errorf("error %+v in %d lines", e, lines)
		}
	}
}

// TestBombs: what is small to write and large to read is refused or read
// quickly, whatever is asked of it.
func TestBombs(t *testing.T) {
	var list strings.Builder
	list.WriteString("apiVersion: v1\nkind: List\nx: &p {apiVersion: v1, kind: Pod, metadata: {name: a}}\nl0: &l0 [*p, *p, *p, *p, *p, *p, *p, *p, *p, *p]\n")
	for _, level := range []string{"1", "2", "3", "4", "5", "6"} {
		before := string(level[0] - 1)
		list.WriteString("l" + level + ": &l" + level + " [" + strings.Repeat("*l"+before+", ", 9) + "*l" + before + "]\n")
	}
	list.WriteString("items: *l6\n")
	rules := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec:\n  ingress: [" +
		"&r {from: [" + strings.Repeat("&x {podSelector: {matchLabels: {a: b}}}, ", 1) + strings.Repeat("*x, ", 2000) + "]}, " + strings.Repeat("*r, ", 2000) + "]\n"
	for name, row := range map[string]struct{ text, want string }{
		"list":    {list.String(), "-:1: its aliases stand for more than 1000000 values: write out what is needed"},
		"policy":  {rules, "-:1: its aliases stand for more than 1000000 values: write out what is needed"},
		"pods":    {deployment("a", 2_000_000_000), "-:4: Deployment default/a: spec.replicas: Invalid value: 2000000000: the cluster would have more than 150000 pods"},
		"daemons": {"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: a}\n---\n" + deployment("b", MaxPods), "-:1: DaemonSet default/a: spec.template: Invalid value: 1: the cluster would have more than 150000 pods"},
		"list of lists": {"apiVersion: v1\nkind: List\nitems:\n- " + strings.Repeat("{apiVersion: v1, kind: List, items: [", 400) + strings.Repeat("]}", 400) + "\n",
			"-:4: nests deeper than 500 levels"},
	} {
		_, err := Load([]string{Stdin}, Options{}, strings.NewReader(row.text))
		if err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", name, err, row.want)
		}
	}
}

// BenchmarkLoad reads a dump of 10,000 pods in four files.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	for i := range 4 {
		writeFile(b, filepath.Join(dir, string(rune('a'+i))+".yaml"), dump(i, 2500))
	}
	size := int64(0)
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	b.SetBytes(size)
	for b.Loop() {
		bundle, err := Load([]string{dir}, Options{}, nil)
		if err != nil || len(bundle.Snapshot.Pods) != 10_000 {
			b.Fatalf("load: %v", err)
		}
	}
}
