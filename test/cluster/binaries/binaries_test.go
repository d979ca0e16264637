package binaries

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVersions(t *testing.T) {
	for name, want := range map[string]string{
		"kube-apiserver": kubernetesVersion, "e2e.test": kubernetesVersion, "cyclonus": "v0.5.6", "coredns": "v1.15.0",
		"kube-router": "v2.10.0", "networkpolicyapi.test": "v0.2.0",
	} {
		if got, err := Version(name); got != want {
			t.Errorf("%s has version %s, %v, not %s", name, got, err, want)
		}
	}
	for _, name := range []string{"container-init", "nothing"} {
		if got, err := Version(name); err == nil {
			t.Errorf("%s has version %s", name, got)
		}
	}
}

func TestAProgramIsBuiltOnce(t *testing.T) {
	var said strings.Builder
	cache := &Cache{Dir: t.TempDir(), Progress: &said}
	first, err := cache.Program(t.Context(), "container-init")
	if err != nil {
		t.Fatal(err)
	}
	second, err := cache.Program(t.Context(), "container-init")
	if err != nil || second != first {
		t.Errorf("the second time it is %s, %v, not %s", second, err, first)
	}
	if n := strings.Count(said.String(), "built container-init"); n != 1 {
		t.Errorf("it was built %d times: %s", n, said.String())
	}
	if info, err := os.Stat(first); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("the program is no program: %v, %v", info, err)
	}
}

func TestTheKeyFollowsWhatIsBuilt(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func(sources bool) string {
		t.Helper()
		k, err := contentKey(dir, sources)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write("go.mod", "module a")
	write("a.go", "package a")
	write("b/b.go", "package b")
	write("other/go.mod", "module other")
	last := map[bool]string{true: key(true), false: key(false)}
	for _, c := range []struct {
		name             string
		sources, pinning bool // whether each kind of key changes
	}{
		{"go.sum", true, true}, {"a.go", true, true}, {"b/b.go", true, false}, {"b/b_test.go", false, false},
		{"notes.txt", false, false}, {"other/go.mod", false, false}, {"other/o.go", false, false},
	} {
		write(c.name, "changed")
		for sources, want := range map[bool]bool{true: c.sources, false: c.pinning} {
			now := key(sources)
			if changed := now != last[sources]; changed != want {
				t.Errorf("%s: key with sources %v changed: %v", c.name, sources, changed)
			}
			last[sources] = now
		}
	}
}
