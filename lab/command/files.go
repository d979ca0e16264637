package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// scratch is where files are made, in memory and out of everybody's sight.
const scratch = "/tmp"

// placeFiles puts files in the place of the machine's, in the calling thread's
// own mount namespace. A file that the machine does not have cannot be replaced
// without touching the machine; the program is told.
func (c *Command) placeFiles() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separate mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	for i, f := range c.Files {
		err := f.place(filepath.Join(scratch, strconv.Itoa(i)))
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(c.Stderr, "bulkhead: this machine has no %s, so the lab's cannot take its place\n", f.Path)
		} else if err != nil {
			return fmt.Errorf("replace %s: %w", f.Path, err)
		}
	}
	if err := unix.Unmount(scratch, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount tmpfs: %w", err)
	}
	return nil
}

func (f File) place(made string) error {
	target, err := filepath.EvalSymlinks(f.Path) // often one to systemd's
	if err != nil {
		return err
	}
	if err := os.WriteFile(made, []byte(f.Content), 0o644); err != nil {
		return err
	}
	return unix.Mount(made, target, "", unix.MS_BIND, "")
}
