package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const tag = "registry.example/bulkhead:v1"

// archive makes an image of two architectures and returns it unpacked.
func archive(t *testing.T) (file, dir, digest string) {
	t.Helper()
	dir = t.TempDir()
	var programs []string
	for _, arch := range []string{"amd64", "arm64"} {
		program := filepath.Join(dir, arch)
		if err := os.WriteFile(program, []byte("program for "+arch), 0o600); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, "linux/"+arch+"="+program)
	}
	licence := filepath.Join(dir, "licence")
	if err := os.WriteFile(licence, []byte("do as you like"), 0o600); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "image.tar")
	r := request{tag: tag, version: "v1", revision: "abc", licence: licence}
	digest, err := r.write(file, programs)
	if err != nil {
		t.Fatal(err)
	}
	return file, unpack(t, file), digest
}

func unpack(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(content))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		blob, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, blob, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArchiveIsAValidLayout(t *testing.T) {
	_, dir, digest := archive(t)
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Error(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != digest {
		t.Fatalf("manifests %+v, want one with digest %s", manifest.Manifests, digest)
	}
	for _, name := range refNames {
		if got := manifest.Manifests[0].Annotations[name]; got != tag {
			t.Errorf("annotation %s is %q, want %q", name, got, tag)
		}
	}
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	index, err := top.ImageIndex(hash)
	if err != nil {
		t.Fatal(err)
	}
	checkPlatforms(t, index)
}

func checkPlatforms(t *testing.T, index v1.ImageIndex) {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.OS+"/"+config.Architecture != m.Platform.String() {
			t.Errorf("configuration says %s/%s, the index %s", config.OS, config.Architecture, m.Platform)
		}
		if !slices.Equal(config.Config.Entrypoint, []string{"/bulkhead"}) || config.Config.Labels["org.opencontainers.image.revision"] != "abc" {
			t.Errorf("configuration %+v", config.Config)
		}
		want := []string{"bulkhead 755 program for " + m.Platform.Architecture, "LICENSE 644 do as you like"}
		if got := contents(t, image); !slices.Equal(got, want) {
			t.Errorf("%s holds %q, want %q", m.Platform, got, want)
		}
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms %q, want %q", platforms, want)
	}
}

func contents(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v, want one", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var files []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%s %o %s", h.Name, h.Mode, text))
		if !h.ModTime.IsZero() && h.ModTime.Unix() != 0 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s has a date or an owner: %+v", h.Name, h)
		}
	}
}

func TestEqualProgramsGiveEqualBytes(t *testing.T) {
	one, _, _ := archive(t)
	two, _, _ := archive(t)
	a, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(two)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two archives of the same programs differ")
	}
}

func TestWrongArguments(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.tar")
	for _, test := range []struct{ tag, program, want string }{
		{"no tag at all!", "linux/amd64=x", "read tag"},
		{tag, "amd64=x", "OS/ARCH=PROGRAM"},
		{tag, "linux/amd64", "OS/ARCH=PROGRAM"},
		{tag, "linux/amd64=" + out + ".missing", "read program"},
	} {
		if _, err := (request{tag: test.tag}).write(out, []string{test.program}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v, want %q", test.tag, test.program, err, test.want)
		}
	}
}
