package manifest

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/cluster"
	"github.com/bulkhead-dev/bulkhead/policy"
)

var update = flag.Bool("update", false, "rewrite what the stories in testdata expect")

// TestStories loads the files of each archive and compares with its file
// "want": what was read, or what is wrong. The archive's comment may have a line
// "options: nodes=3 families=ipv4".
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
			got := tell(t, story, archive)
			want := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
			switch {
			case *update && want >= 0:
				archive.Files[want].Data = []byte(got)
				if err := os.WriteFile(story, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			case want < 0:
				t.Fatal("the story has no file want")
			case got != string(archive.Files[want].Data):
				t.Error(diff(string(archive.Files[want].Data), got))
			}
		})
	}
}

// diff shows the lines that differ, - for those that are wanted.
func diff(want, got string) string {
	return gocmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n"))
}

// unpack writes an archive's files to a new folder.
func unpack(t *testing.T, story string) string {
	t.Helper()
	archive, err := txtar.ParseFile(story)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		if f.Name != "want" {
			writeFile(t, filepath.Join(dir, f.Name), string(f.Data))
		}
	}
	return dir
}

// tell loads a story's files.
func tell(t *testing.T, story string, archive *txtar.Archive) string {
	dir := unpack(t, story)
	bundle, err := Load([]string{dir}, storyOptions(t, string(archive.Comment)), nil)
	if err != nil {
		return strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
	}
	checkInvariants(t, bundle)
	return strings.ReplaceAll(describe(bundle), dir+"/", "")
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func storyOptions(t *testing.T, comment string) Options {
	var opts Options
	for line := range strings.Lines(comment) {
		words, ok := strings.CutPrefix(line, "options:")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(words) {
			name, value, _ := strings.Cut(word, "=")
			families := map[string]Families{"ipv4": IPv4, "ipv6": IPv6, "dual": DualStack}
			switch name {
			case "nodes":
				if _, err := fmt.Sscan(value, &opts.Nodes); err != nil {
					t.Fatal(err)
				}
			case "families":
				opts.Families = families[value]
			default:
				t.Fatalf("unknown option %s", word)
			}
		}
	}
	return opts
}

// describe is a bundle as text, one thing in a line.
func describe(b *Bundle) string {
	var out strings.Builder
	s := b.Snapshot
	for _, name := range slices.Sorted(maps.Keys(s.Namespaces)) {
		fmt.Fprintf(&out, "namespace %s {%s}\n", name, labels.Set(s.Namespaces[name].Labels))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		n := s.Nodes[name]
		fmt.Fprintf(&out, "node %s %s pods %s {%s}\n", name, join(n.Addrs), join(n.PodCIDRs), labels.Set(n.Labels))
	}
	for _, name := range sortedNames(s.Pods) {
		out.WriteString(describePod(s.Pods[name]) + "\n")
	}
	for _, name := range sortedNames(s.Services) {
		out.WriteString(describeService(s.Services[name]) + "\n")
	}
	for _, name := range sortedNames(s.ServiceAccounts) {
		fmt.Fprintf(&out, "service account %s {%s}\n", name, labels.Set(s.ServiceAccounts[name].Labels))
	}
	for _, name := range sortedNames(s.Endpoints) {
		fmt.Fprintf(&out, "endpoints %s {%s} %v\n", name, labels.Set(s.Endpoints[name].Labels), s.Endpoints[name].Backends)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Names)) {
		fmt.Fprintf(&out, "name %s %s\n", name, join(s.Names[name]))
	}
	describeSet(&out, b.Policies)
	for _, w := range b.Warnings {
		fmt.Fprintf(&out, "warning %s\n", w)
	}
	for _, k := range b.Skipped {
		fmt.Fprintf(&out, "skipped %s %s: %d\n", k.APIVersion, k.Kind, k.Count)
	}
	return out.String()
}

func describeSet(out *strings.Builder, set *policy.Set) {
	for _, t := range set.SortedTiers() {
		if !slices.Contains(policy.StandardTiers(), t) {
			fmt.Fprintf(out, "tier %s order %g ends in %s\n", t.Name, t.Order, t.End)
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(set.Hosts), policy.Ref.Compare) {
		h := set.Hosts[ref]
		fmt.Fprintf(out, "host %s %s %s:%d node %s device %q %s {%s}\n", h.Kind, h.Ref, h.Source.File, h.Source.Line, h.Node, h.Device, join(h.Addrs), labels.Set(h.Labels))
	}
	for _, ref := range slices.SortedFunc(maps.Keys(set.Networks), policy.Ref.Compare) {
		n := set.Networks[ref]
		fmt.Fprintf(out, "networks %s %s %s:%d %s {%s}\n", n.Kind, n.Ref, n.Source.File, n.Source.Line, join(n.Prefixes), labels.Set(n.Labels))
	}
	for _, ref := range slices.SortedFunc(maps.Keys(set.Policies), policy.Ref.Compare) {
		out.WriteString(describePolicy(set.Policies[ref]) + "\n")
	}
	for _, selector := range slices.Sorted(maps.Keys(set.Learned)) {
		fmt.Fprintf(out, "learned %s: %s\n", selector, join(set.Learned[selector]))
	}
	for _, ref := range slices.SortedFunc(maps.Keys(set.Staged), policy.Ref.Compare) {
		s := set.Staged[ref]
		fmt.Fprintf(out, "staged %s %s in place of %s %s, deletes %t: %s\n", s.Kind, s.Ref, s.Enforced.Kind, s.Enforced, s.Deletes, s.Text())
	}
}

func sortedNames[V any](m map[cluster.Name]V) []cluster.Name {
	return slices.SortedFunc(maps.Keys(m), func(a, b cluster.Name) int { return strings.Compare(a.String(), b.String()) })
}

func join[T fmt.Stringer](values []T) string {
	var words []string
	for _, v := range values {
		words = append(words, v.String())
	}
	return cmp.Or(strings.Join(words, ","), "-")
}

func describePod(p *cluster.Pod) string {
	line := fmt.Sprintf("pod %s on %s %s {%s}", p.Name, p.Node, join(p.Addrs), labels.Set(p.Labels))
	for _, port := range p.Ports {
		line += fmt.Sprintf(" %s/%s=%d", cmp.Or(port.Name, "-"), port.Protocol, port.Number)
	}
	if p.Workload != "" {
		line += " of " + p.Workload
	}
	if p.ServiceAccount != "default" {
		line += " as " + p.ServiceAccount
	}
	if p.HostNetwork {
		line += " on the host's network"
	}
	return line
}

func describeService(s *cluster.Service) string {
	line := fmt.Sprintf("service %s %s {%s}", s.Name, join(s.ClusterIPs), labels.Set(s.Selector))
	for _, p := range s.Ports {
		line += fmt.Sprintf(" %s/%s %d->", cmp.Or(p.Name, "-"), p.Protocol, p.Port)
		if p.TargetName != "" {
			line += p.TargetName
		} else {
			line += fmt.Sprint(p.TargetPort)
		}
		if p.NodePort != 0 {
			line += fmt.Sprintf(" node %d", p.NodePort)
		}
	}
	if s.Headless {
		line += " headless"
	}
	return line
}

func describePolicy(p *policy.Policy) string {
	return fmt.Sprintf("policy %s %s %s:%d tier %s order %g: %s", p.Kind, p.Ref, p.Source.File, p.Source.Line, p.Tier, p.Order, p.Text())
}
