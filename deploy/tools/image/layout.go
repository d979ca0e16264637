package main

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writer writes an OCI image layout (image-spec, image-layout.md) into a tar
// archive, each blob once, everything in the order of its making.
type writer struct {
	w    *tar.Writer
	seen []string
}

// refName is how ctr, podman and docker learn an image's name from a layout.
var refNames = []string{"org.opencontainers.image.ref.name", "io.containerd.image.name"}

func writeLayout(out io.Writer, tag string, index v1.ImageIndex) error {
	l := &writer{w: tar.NewWriter(out)}
	if err := l.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	descriptor, err := l.index(index)
	if err != nil {
		return err
	}
	descriptor.Annotations = map[string]string{}
	for _, name := range refNames {
		descriptor.Annotations[name] = tag
	}
	top, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{descriptor},
	})
	if err != nil {
		return err
	}
	if err := l.file("index.json", top); err != nil {
		return err
	}
	return l.w.Close()
}

func (l *writer) index(index v1.ImageIndex) (v1.Descriptor, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			return v1.Descriptor{}, err
		}
		if err := l.image(image); err != nil {
			return v1.Descriptor{}, fmt.Errorf("image for %s/%s: %w", m.Platform.OS, m.Platform.Architecture, err)
		}
	}
	raw, err := index.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	hash, err := index.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: types.OCIImageIndex, Digest: hash, Size: int64(len(raw))}, l.blob(hash, raw)
}

func (l *writer) image(image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		hash, err := layer.Digest()
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if err := l.blob(hash, raw); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		hash func() (v1.Hash, error)
		raw  func() ([]byte, error)
	}{{image.ConfigName, image.RawConfigFile}, {image.Digest, image.RawManifest}} {
		hash, err := part.hash()
		if err != nil {
			return err
		}
		raw, err := part.raw()
		if err != nil {
			return err
		}
		if err := l.blob(hash, raw); err != nil {
			return err
		}
	}
	return nil
}

func (l *writer) blob(hash v1.Hash, content []byte) error {
	return l.file("blobs/"+hash.Algorithm+"/"+hash.Hex, content)
}

func (l *writer) file(name string, content []byte) error {
	if slices.Contains(l.seen, name) {
		return nil
	}
	l.seen = append(l.seen, name)
	if err := l.w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := l.w.Write(content)
	return err
}
