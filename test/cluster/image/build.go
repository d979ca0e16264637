package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Recipe is an image to be made of files that are already on this machine.
type Recipe struct {
	Image
	Files map[string]string // path in the image: file on the machine
	Names []string          // further names of the same image
}

// Build makes the images of some recipes in a folder that does not exist yet,
// all or nothing. Files are linked, not copied, where the file system can.
func Build(dir string, recipes []Recipe) error {
	if isDir(dir) {
		return nil
	}
	unfinished, err := os.MkdirTemp(mustParent(dir), ".images-*")
	if err != nil {
		return fmt.Errorf("build images: %w", err)
	}
	defer os.RemoveAll(unfinished)
	for _, r := range recipes {
		if err := r.build(unfinished); err != nil {
			return fmt.Errorf("build image %s: %w", r.Name, err)
		}
	}
	if err := os.Chmod(unfinished, 0o755); err != nil {
		return fmt.Errorf("build images: %w", err)
	}
	// Somebody else may have been quicker; then theirs is as good.
	if err := os.Rename(unfinished, dir); err != nil && !isDir(dir) {
		return fmt.Errorf("build images: %w", err)
	}
	return nil
}

func mustParent(dir string) string {
	parent := filepath.Dir(dir)
	// Failing here shows in what is made in it next.
	_ = os.MkdirAll(parent, 0o755)
	return parent
}

func (r *Recipe) build(dir string) error {
	home := filepath.Join(dir, r.Name)
	root := filepath.Join(home, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for name, source := range r.Files {
		if err := link(source, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	if err := baseFiles(root); err != nil {
		return err
	}
	content, err := json.MarshalIndent(r.Image, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, "image.json"), content, 0o644); err != nil {
		return err
	}
	for _, name := range r.Names {
		if err := os.Symlink(r.Name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// baseFiles are what programs expect of any root.
func baseFiles(root string) error {
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "tmp"), 0o1777); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":  "root:x:0:\nnogroup:x:65534:\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky)
}

func link(source, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	err := os.Link(source, target)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	return os.WriteFile(target, content, 0o755)
}

// hostFolders are the folders of a machine's own programs.
var hostFolders = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc/alternatives", "/etc/ssl"}

// HostMounts lists the folders to show in an image with HostTools, and the
// symbolic links that stand for folders on a machine whose /bin is in /usr.
func HostMounts() (folders []string, links map[string]string) {
	links = map[string]string{}
	for _, dir := range hostFolders {
		if to, err := os.Readlink(dir); err == nil {
			links[dir] = to
			continue
		}
		if isDir(dir) {
			folders = append(folders, dir)
		}
	}
	return folders, links
}

// Key is a short name for a set of recipes, the same for the same files.
func Key(recipes []Recipe) string {
	// Maps are encoded in the order of their keys, and paths in the cache of
	// programs change with the programs.
	content, err := json.Marshal(recipes)
	if err != nil {
		panic(err) // strings and maps of strings alone
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])[:12]
}
