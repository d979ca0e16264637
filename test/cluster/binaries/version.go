package binaries

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Version is the release that a program is built from.
func Version(name string) (string, error) {
	i := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
	if i < 0 {
		return "", fmt.Errorf("find program %q: it is none of %s", name, strings.Join(Names(), ", "))
	}
	p := programs[i]
	release := cmp.Or(p.release, p.pkg)
	dir, err := p.dir()
	if err != nil {
		return "", fmt.Errorf("find version of %s: %w", name, err)
	}
	requirements, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("find version of %s: %w", name, err)
	}
	module, version := "", ""
	for line := range strings.Lines(string(requirements)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") || len(fields[0]) < len(module) {
			continue
		}
		if release == fields[0] || strings.HasPrefix(release, fields[0]+"/") {
			module, version = fields[0], fields[1]
		}
	}
	if version == "" {
		return "", fmt.Errorf("find version of %s: its module requires none of %s", name, release)
	}
	return version, nil
}

// ModuleDir is the folder with the sources of the release that a program is built
// from.
func ModuleDir(ctx context.Context, name string) (string, error) {
	i := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
	if i < 0 {
		return "", fmt.Errorf("find program %q: it is none of %s", name, strings.Join(Names(), ", "))
	}
	p := programs[i]
	dir, err := p.dir()
	if err != nil {
		return "", fmt.Errorf("find sources of %s: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-find", "-f", "{{.Module.Dir}}", cmp.Or(p.release, p.pkg))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find sources of %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
