// Package image turns container image names into local folders.
//
// An image is a folder whose name is the last part of the image's name, without
// tag and digest: registry.example/team/agnhost:2.59 is agnhost. Nothing is
// ever pulled. In the folder, rootfs holds the files and image.json says how to
// run them; a folder without rootfs is itself the root.
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An Image is a root folder and the way its program is run.
type Image struct {
	Name string `json:"-"`
	Root string `json:"-"`

	Entrypoint  []string `json:"entrypoint,omitempty"`
	Command     []string `json:"command,omitempty"`
	Environment []string `json:"environment,omitempty"` // NAME=value
	Directory   string   `json:"directory,omitempty"`   // "" is the root
	// HostTools shows the machine's own programs (bash, curl, ip and the rest of
	// /usr) in the container, read-only.
	HostTools bool `json:"hostTools,omitempty"`
}

// A Store finds images in folders of images; the first that has one wins.
type Store []string

// ErrUnknown is within the error for an image that no folder has.
var ErrUnknown = errors.New("no such local image")

// Find looks up an image by its full name.
func (s Store) Find(reference string) (*Image, error) {
	name := shortName(reference)
	for _, dir := range s {
		image, err := load(filepath.Join(dir, name), name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read image %s: %w", name, err)
		}
		return image, nil
	}
	return nil, fmt.Errorf("find image %q: %w: there are %s", reference, ErrUnknown, strings.Join(s.Names(), ", "))
}

// Names lists the images of the store, sorted.
func (s Store) Names() []string {
	var names []string
	for _, dir := range s {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func shortName(reference string) string {
	name := reference[strings.LastIndex(reference, "/")+1:]
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

func load(dir, name string) (*Image, error) {
	// A symbolic link is how one image has two names.
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	image := &Image{Name: name, Root: dir}
	if root := filepath.Join(dir, "rootfs"); isDir(root) {
		image.Root = root
	}
	content, err := os.ReadFile(filepath.Join(dir, "image.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return image, nil
	}
	if err != nil {
		return nil, err
	}
	return image, json.Unmarshal(content, image)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
