package compile

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/plan"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

// TestStories compiles manifests for a node and compares the plan's text. Each
// file says what it is about, then has in.yaml and NODE.plan.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { tell(t, file) })
	}
}

func tell(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	yaml := string(archive.Files[0].Data)
	bundle, err := manifest.Load([]string{"-"}, manifest.Options{Families: manifest.IPv4}, strings.NewReader(yaml))
	if err != nil {
		t.Fatal(err)
	}
	plans := 0
	for i, f := range archive.Files[1:] {
		node, ok := strings.CutSuffix(f.Name, ".plan")
		if !ok {
			t.Fatalf("%s is neither in.yaml nor a plan", f.Name)
		}
		plans++
		got := plan.Text(Full(node, bundle.Snapshot, bundle.Policies))
		if *update {
			archive.Files[i+1].Data = []byte(got)
		} else if got != string(f.Data) {
			t.Errorf("the plan of %s is\n%s\nand should be\n%s", node, got, f.Data)
		}
	}
	if plans == 0 {
		t.Error("no plan to compare with")
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
