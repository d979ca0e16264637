package container

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
)

func init() { runtime.LockOSThread() }

// hostImage shows the machine's programs in an otherwise empty root.
func hostImage(t *testing.T) *Spec {
	t.Helper()
	dir := t.TempDir()
	// overlayfs wants a file system that it can keep its own marks on.
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	layer := filepath.Join(dir, "layer")
	if err := os.Mkdir(layer, 0o755); err != nil {
		t.Fatal(err)
	}
	folders, links := image.HostMounts()
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(layer, name)); err != nil {
			t.Fatal(err)
		}
	}
	spec := &Spec{Layers: []string{layer}, Scratch: filepath.Join(dir, "scratch"), Hostname: "box",
		Env: []string{"PATH=/usr/bin:/bin"}, Capabilities: DefaultCapabilities}
	for _, folder := range folders {
		spec.Mounts = append(spec.Mounts, Mount{Source: folder, Target: folder, ReadOnly: true})
	}
	return spec
}

// run runs a script in a container and returns what it wrote and its exit code.
func run(t *testing.T, spec *Spec, script string) (string, int) {
	t.Helper()
	spec.Argv = []string{"sh", "-c", script}
	cmd := helper(t)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := Start(ns.View{}, spec, cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return strings.TrimSpace(out.String()), cmd.ProcessState.ExitCode()
}

func helper(t *testing.T) *exec.Cmd {
	t.Helper()
	cache, err := binaries.DefaultCache(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	path, err := cache.Program(t.Context(), "container-init")
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(path)
}

func TestInside(t *testing.T) {
	shared := t.TempDir()
	if err := os.WriteFile(filepath.Join(shared, "note"), []byte("from outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*Spec)) *Spec {
		spec := hostImage(t)
		spec.Mounts = append(spec.Mounts, Mount{Source: shared, Target: "/shared", ReadOnly: true}, Mount{Target: "/memory"})
		change(spec)
		return spec
	}
	plain := func(*Spec) {}
	for _, c := range []struct {
		name   string
		change func(*Spec)
		script string
		want   string
	}{
		{"host name", plain, "uname -n", "box"},
		{"first process", plain, "echo $$", "1"},
		{"volume", plain, "cat /shared/note", "from outside"},
		{"read-only volume", plain, "touch /shared/x 2>/dev/null || echo denied", "denied"},
		{"memory", plain, "touch /memory/x && echo written", "written"},
		{"root", plain, "touch /x && ls /x", "/x"},
		{"read-only root", func(s *Spec) { s.ReadOnlyRoot = true }, "touch /x 2>/dev/null || echo denied", "denied"},
		{"old root", plain, "ls -d /.view 2>/dev/null || echo gone", "gone"},
		{"host tools", plain, "touch /usr/x 2>/dev/null || echo denied", "denied"},
		{"devices", plain, "echo x > /dev/null && head -c 1 /dev/zero | wc -c", "1"},
		{"sysctls", plain, "echo 1 2>/dev/null > /proc/sys/kernel/panic; ls /sys/kernel > /dev/null && echo ok", "ok"},
		{"user", func(s *Spec) { s.UID, s.GID, s.Groups = 1000, 2000, []int{3000} }, "id -u; id -g; id -G", "1000\n2000\n2000 3000"},
		{"folder", func(s *Spec) { s.Dir = "/shared" }, "pwd", "/shared"},
		{"default capabilities", plain, "grep CapBnd /proc/self/status | cut -f2", "00000000a80425fb"},
		{"no capabilities", func(s *Spec) { s.Capabilities = nil }, "grep CapBnd /proc/self/status | cut -f2", "0000000000000000"},
		{"no new privileges", func(s *Spec) { s.NoNewPrivileges = true }, "grep NoNewPrivs /proc/self/status | cut -f2", "1"},
		{"privileged", func(s *Spec) { s.Privileged = true }, "mount -t tmpfs none /memory && echo mounted", "mounted"},
		{"unprivileged", plain, "mount -t tmpfs none /memory 2>/dev/null || echo denied", "denied"},
	} {
		if got, _ := run(t, with(c.change), c.script); got != c.want {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
	if _, code := run(t, with(plain), "exit 9"); code != 9 {
		t.Errorf("exit 9 is %d", code)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Spec)
		want   string
	}{
		{"program", func(s *Spec) { s.Argv = []string{"no-such-program"} }, "no-such-program"},
		{"volume", func(s *Spec) { s.Mounts = append(s.Mounts, Mount{Source: "/no/such/folder", Target: "/v"}) }, "/v"},
		{"folder", func(s *Spec) { s.Dir = "/nowhere" }, "/nowhere"},
		{"layer", func(s *Spec) { s.Layers = []string{"/no/such/layer"} }, "mount root"},
	} {
		spec := hostImage(t)
		spec.Argv = []string{"true"}
		c.change(spec)
		err := Start(ns.View{}, spec, helper(t))
		if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestKillingTheFirstProcessKillsAll(t *testing.T) {
	spec := hostImage(t)
	spec.Argv = []string{"sh", "-c", "sleep 100000 & echo started; wait"}
	cmd := helper(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := Start(ns.View{}, spec, cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The pipe ends only when the child, which holds it too, is gone.
	if n, err := out.Read(make([]byte, 64)); n != 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
	cmd.Wait()
}

func TestAllCapabilitiesHaveTheNamesOfPods(t *testing.T) {
	all := AllCapabilities()
	for _, name := range append([]string{"NET_ADMIN", "SYS_ADMIN", "BPF"}, DefaultCapabilities...) {
		if !slices.Contains(all, name) {
			t.Errorf("%s is missing in %v", name, all)
		}
	}
}
