package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShortName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"agnhost", "agnhost"},
		{"agnhost:2.59", "agnhost"},
		{"registry.example/a/b/agnhost:2.59", "agnhost"},
		{"registry.example:5000/agnhost@sha256:0123", "agnhost"},
		{"registry.example:5000/agnhost:1@sha256:0123", "agnhost"},
	} {
		if got := shortName(c.in); got != c.want {
			t.Errorf("%s: %s, not %s", c.in, got, c.want)
		}
	}
}

func TestBuildAndFind(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	recipes := []Recipe{{
		Image: Image{Name: "tool", Entrypoint: []string{"/bin/tool"}, HostTools: true},
		Files: map[string]string{"bin/tool": source}, Names: []string{"alias"},
	}}
	dir := filepath.Join(t.TempDir(), "images-"+Key(recipes))
	for range 2 { // the second time there is nothing to do
		if err := Build(dir, recipes); err != nil {
			t.Fatal(err)
		}
	}
	store := Store{dir}
	for _, name := range []string{"tool", "example.org/alias:latest"} {
		image, err := store.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(image.Root, "bin/tool"))
		if err != nil || string(content) != "content" || image.Entrypoint[0] != "/bin/tool" || !image.HostTools {
			t.Errorf("%s is %+v with %q, %v", name, image, content, err)
		}
	}
	if _, err := store.Find("none"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "alias, tool") {
		t.Errorf("an image that is not there: %v", err)
	}
}

func TestAFolderIsAnImage(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, file := range []string{first + "/plain/bin/sh", second + "/plain/rootfs/bin/other", second + "/broken/image.json"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store := Store{first, second}
	if image, err := store.Find("plain"); err != nil || image.Root != filepath.Join(first, "plain") {
		t.Errorf("the first folder's image is %+v, %v", image, err)
	}
	if image, err := (Store{second}).Find("plain"); err != nil || image.Root != filepath.Join(second, "plain", "rootfs") {
		t.Errorf("the second folder's image is %+v, %v", image, err)
	}
	if _, err := store.Find("broken"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("a broken image: %v", err)
	}
}

func TestTheKeyFollowsTheFiles(t *testing.T) {
	recipes := func(file string) []Recipe {
		return []Recipe{{Image: Image{Name: "x"}, Files: map[string]string{"f": file}}}
	}
	one, again, two := Key(recipes("/one")), Key(recipes("/one")), Key(recipes("/two"))
	if one != again || one == two {
		t.Errorf("keys are %s, %s and %s", one, again, two)
	}
}
