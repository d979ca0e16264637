package ns

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { runtime.LockOSThread() }

func readlink(t *testing.T, name string) string {
	t.Helper()
	s, err := os.Readlink(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCodeAndProcessesRunInTheView(t *testing.T) {
	v := newView(t, unix.CLONE_NEWNET|unix.CLONE_NEWUTS, func() error { return unix.Sethostname([]byte("elsewhere")) })
	outside := readlink(t, "/proc/self/ns/net")
	if err := v.Do(func() error {
		if inside := readlink(t, "/proc/thread-self/ns/net"); inside == outside {
			t.Errorf("Do runs in %s, the namespace outside", inside)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := output(t, v, "uname", "-n"); got != "elsewhere" {
		t.Errorf("host name of a process in the view is %q", got)
	}
	if now := readlink(t, "/proc/self/ns/net"); now != outside {
		t.Errorf("the test itself moved from %s to %s", outside, now)
	}
}

func TestMountsOfAViewStayInIt(t *testing.T) {
	dir := t.TempDir()
	v := newView(t, unix.CLONE_NEWNS, func() error {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "note"), []byte("inside"), 0o644)
	})
	if got := output(t, v, "cat", filepath.Join(dir, "note")); got != "inside" {
		t.Errorf("a process in the view reads %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "note")); !os.IsNotExist(err) {
		t.Errorf("the mount shows outside: %v", err)
	}
}

func TestOfFollowsAProcess(t *testing.T) {
	v := newView(t, unix.CLONE_NEWNET, nil)
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	same, err := Of(cmd.Process.Pid, unix.CLONE_NEWNET)
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	want := output(t, v, "readlink", "/proc/self/ns/net")
	if got := output(t, same, "readlink", "/proc/self/ns/net"); got != want {
		t.Errorf("the view of the process is %s, not %s", got, want)
	}
}

func newView(t *testing.T, flags int, prepare func() error) View {
	t.Helper()
	v, err := New(View{}, flags, prepare)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func output(t *testing.T, v View, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := v.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out.String())
	}
	return strings.TrimSpace(out.String())
}
