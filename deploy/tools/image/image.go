// Command image puts built programs into an OCI image without a Docker daemon: one
// file on nothing, for one or several architectures, as an OCI layout in a tar
// archive. Equal programs give equal bytes.
//
//	image --tag ghcr.io/bulkhead-dev/bulkhead:v0.1.0 --out bulkhead.tar linux/amd64=bin/bulkhead
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	var r request
	out := flag.String("out", "", "archive to write")
	flag.StringVar(&r.tag, "tag", "", "name and tag of the image")
	flag.StringVar(&r.version, "version", "", "version of the program, for the labels")
	flag.StringVar(&r.revision, "revision", "", "commit of the program, for the labels")
	flag.StringVar(&r.licence, "licence", "", "file to add as /LICENSE")
	flag.Parse()
	if *out == "" || r.tag == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: image --tag NAME:TAG --out FILE OS/ARCH=PROGRAM...")
		os.Exit(2)
	}
	digest, err := r.write(*out, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

type request struct {
	tag, version, revision, licence string
}

// write makes the archive and returns the digest by which the image is pulled.
func (r request) write(path string, programs []string) (digest string, err error) {
	tag, err := name.NewTag(r.tag)
	if err != nil {
		return "", fmt.Errorf("read tag: %w", err)
	}
	index, err := r.index(programs)
	if err != nil {
		return "", err
	}
	file, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("write archive: %w", err)
	}
	defer file.Close()
	if err := writeLayout(file, tag.String(), index); err != nil {
		return "", fmt.Errorf("write archive: %w", err)
	}
	hash, err := index.Digest()
	return hash.String(), err
}

func (r request) index(programs []string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		platform, path, ok := strings.Cut(p, "=")
		system, arch, isPair := strings.Cut(platform, "/")
		if !ok || !isPair {
			return nil, fmt.Errorf("read %q: want OS/ARCH=PROGRAM", p)
		}
		image, err := r.image(system, arch, path)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: system, Architecture: arch}},
		})
	}
	return index, nil
}

func (r request) image(system, arch, program string) (v1.Image, error) {
	layer, err := r.layer(program)
	if err != nil {
		return nil, err
	}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, fmt.Errorf("add layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = system, arch
	config.History = nil
	config.Config = v1.Config{
		Entrypoint: []string{"/bulkhead"},
		Cmd:        []string{"agent"},
		Env:        []string{"PATH=/"}, // for kubectl exec POD -- bulkhead status
		Labels: map[string]string{
			"org.opencontainers.image.title":    "bulkhead",
			"org.opencontainers.image.source":   "https://github.com/bulkhead-dev/bulkhead",
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.version":  r.version,
			"org.opencontainers.image.revision": r.revision,
		},
	}
	return mutate.ConfigFile(image, config)
}

// layer holds the program and its licence, of no date and nobody's.
func (r request) layer(program string) (v1.Layer, error) {
	files := []struct {
		path, name string
		mode       int64
	}{{program, "bulkhead", 0o755}}
	if r.licence != "" {
		files = append(files, struct {
			path, name string
			mode       int64
		}{r.licence, "LICENSE", 0o644})
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		content, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("read program: %w", err)
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
			return nil, fmt.Errorf("write layer: %w", err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("write layer: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}
