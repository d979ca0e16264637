package convert_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/convert"
	"github.com/bulkhead-dev/bulkhead/internal/gen"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/verdict"
)

var (
	update = flag.Bool("update", false, "rewrite what the stories in testdata expect")
	seed   = flag.Uint64("seed", 0, "where random worlds start; 0 chooses one")
)

var dialects = map[string]policy.Dialect{
	"networkpolicy": policy.Kubernetes, "clusternetworkpolicy": policy.ClusterNetwork, "calico": policy.Calico, "cilium": policy.Cilium,
}

// TestStories converts the files of each archive to the dialects that have a file
// "want/DIALECT", which is the result, what is noted and what is lost.
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(story)
			if err != nil {
				t.Fatal(err)
			}
			bundle := load(t, archive)
			told := 0
			for i, f := range archive.Files {
				name, ok := strings.CutPrefix(f.Name, "want/")
				if !ok {
					continue
				}
				told++
				got := tell(t, bundle, dialects[name])
				if *update {
					archive.Files[i].Data = []byte(got)
				} else if diff := gocmp.Diff(strings.Split(string(f.Data), "\n"), strings.Split(got, "\n")); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
			if told == 0 {
				t.Fatal("the story wants nothing")
			}
			if *update {
				if err := os.WriteFile(story, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func load(t *testing.T, archive *txtar.Archive) *manifest.Bundle {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want/") {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bundle, err := manifest.Load([]string{dir}, manifest.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range bundle.Policies.Policies {
		p.Source.File = filepath.Base(p.Source.File)
	}
	return bundle
}

func tell(t *testing.T, bundle *manifest.Bundle, to policy.Dialect) string {
	t.Helper()
	var out strings.Builder
	result := convert.Convert(bundle.Policies, bundle.Snapshot, to)
	for _, n := range result.Notes {
		fmt.Fprintf(&out, "# %s\n", n)
	}
	for _, l := range result.Losses {
		fmt.Fprintf(&out, "# lost: %s\n", l)
	}
	if len(result.Losses) > 0 {
		return out.String()
	}
	after, err := result.Read(bundle.Policies, to)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := bundle.Snapshot
	if len(snapshot.Pods) == 0 {
		snapshot = convert.Synthetic(bundle.Policies)
	}
	asked, differ := convert.Prove(snapshot, bundle.Policies, after)
	if asked == 0 || len(differ) > 0 {
		t.Errorf("to %s: of %d connections these get another answer: %v", to, asked, differ)
	}
	for _, o := range result.Objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		delete(fields, "status")
		if text, err = yaml.Marshal(fields); err != nil {
			t.Fatal(err)
		}
		out.WriteString("---\n" + string(text))
	}
	return out.String()
}

// What has no loss means the same, on random worlds and connections that nobody
// chose for it.
func TestConvertedWorldsMeanTheSame(t *testing.T) {
	start := *seed
	if start == 0 {
		start = rand.Uint64()
	}
	t.Logf("random worlds start at -seed %d", start)
	whole := map[string]int{}
	for i := range 1500 {
		r := gen.Source(start, i)
		w := gen.New(r, gen.Shape{Nodes: 2, Namespaces: 3, Pods: 12, Policies: 1 + i%3, Mixed: true})
		for name, to := range dialects {
			result := convert.Convert(w.Set, w.Snapshot, to)
			if len(result.Losses) > 0 {
				continue
			}
			after, err := result.Read(w.Set, to)
			if err != nil {
				t.Fatalf("-seed %d, world %d to %s: %v", start, i, name, err)
			}
			if len(result.Objects) > 0 {
				whole[name]++
			}
			before, now := verdict.New(w.Snapshot, w.Set), verdict.New(w.Snapshot, after)
			for _, c := range gen.Connections(r, w.Endpoints(), 150) {
				if a, b := before.Verdict(c), now.Verdict(c); a != b {
					t.Fatalf("-seed %d, world %d to %s: %s: %s becomes %s (%s | %s) in\n%s\nobjects %s", start, i, name, c, a, b,
						now.Evaluate(c).Egress.Reason, now.Evaluate(c).Ingress.Reason, w, objects(result))
				}
			}
		}
	}
	t.Logf("carried over whole: %v", whole)
	for name := range dialects {
		if whole[name] < 3 {
			t.Errorf("only %d worlds were carried over to %s", whole[name], name)
		}
	}
}

func objects(r *convert.Result) string {
	var all []string
	for _, o := range r.Objects {
		text, _ := yaml.Marshal(o)
		all = append(all, string(text))
	}
	slices.Sort(all)
	return strings.Join(all, "---\n")
}
