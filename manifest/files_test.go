package manifest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	podYAML    = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\n"
	policyYAML = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: shop}\n"
)

func pod(name string) string { return fmt.Sprintf(podYAML, name) }

// load reads paths below a new folder with the files.
func load(t *testing.T, files map[string]string, opts Options, paths ...string) (*Bundle, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	t.Chdir(dir)
	return Load(paths, opts, strings.NewReader(""))
}

func mustLoad(t *testing.T, files map[string]string, opts Options, paths ...string) *Bundle {
	t.Helper()
	b, err := load(t, files, opts, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pods are the names of all pods in a line.
func pods(b *Bundle) string {
	var names []string
	for _, name := range sortedNames(b.Snapshot.Pods) {
		names = append(names, name.Name)
	}
	return strings.Join(names, " ")
}

func TestPaths(t *testing.T) {
	files := map[string]string{"a.yaml": pod("a"), "x/b.yml": pod("b"), "x/y/c.json": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"c"}}`,
		"x/d.txt": pod("d"), "x/.git/e.yaml": "broken: [", "x/.f.yaml": "broken: ["}
	for _, row := range []struct {
		paths []string
		want  string
	}{
		{[]string{"."}, "a b c"},
		{[]string{"x"}, "b c"},
		{[]string{"x/"}, "b c"},
		{[]string{"./x/../x"}, "b c"},
		{[]string{"a.yaml", "x/b.yml"}, "a b"},
		{[]string{"x/d.txt"}, "d"},
		{[]string{"x", "x/b.yml", "."}, "a b c"},
		{[]string{"a.yaml", "a.yaml"}, "a"},
	} {
		b := mustLoad(t, files, Options{}, row.paths...)
		if got := pods(b); got != row.want {
			t.Errorf("%v: pods %q, want %q", row.paths, got, row.want)
		}
	}
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "real/a.yaml"), pod("a"))
	writeFile(t, filepath.Join(dir, "other/b.yaml"), pod("b"))
	for from, to := range map[string]string{"real/again.yaml": "a.yaml", "real/up": "..", "real/folder.yaml": "../other", "link": "real"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for path, want := range map[string]string{"link": "a", "real": "a", "real/again.yaml": "a"} {
		b, err := Load([]string{path}, Options{}, nil)
		if err != nil || pods(b) != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

func TestStdin(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "b.yaml", pod("b"))
	b, err := Load([]string{"-", "b.yaml", "-"}, Options{}, strings.NewReader(pod("a")))
	if err != nil {
		t.Fatal(err)
	}
	if got := pods(b); got != "a b" || b.Objects[0].Source.File != "-" {
		t.Errorf("pods %s, first from %+v", got, b.Objects[0].Source)
	}
	_, err = Load([]string{"-"}, Options{}, strings.NewReader("a: ["))
	if want := "-:1: broken YAML: did not find expected node content"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err = Load([]string{"-"}, Options{}, nil); err == nil || err.Error() != "-: nothing found: no Kubernetes object in it" {
		t.Errorf("got %v", err)
	}
}

func TestBadPaths(t *testing.T) {
	files := map[string]string{
		"empty/readme.txt": "", "comments.yaml": "# nothing\n---\n", "binary.yaml": "\x7fELF\x00\x01", "latin.yaml": "a: caf\xe9\n",
		"good.yaml": pod("a"), "broken.yaml": "a: b: c\n", "wide.yaml": "\xff\xfea\x00",
	}
	for _, row := range []struct {
		paths string
		want  string
	}{
		{"", "nothing to read: name files, folders or - for standard input"},
		{"missing.yaml", "missing.yaml: no such file or folder"},
		{"missing/", "missing/: no such file or folder"},
		{"empty", "empty: nothing found: the folder has no .yaml, .yml or .json file"},
		{"comments.yaml", "comments.yaml: nothing found: no Kubernetes object in it"},
		{"binary.yaml", "binary.yaml:1: is a binary file, not YAML or JSON text"},
		{"latin.yaml", "latin.yaml:1: is not UTF-8 text: it is a binary file or in another encoding"},
		{"wide.yaml", "wide.yaml:1: is UTF-16 text: save it as UTF-8"},
		{"good.yaml/x", "good.yaml/x: stat: not a directory"},
		{"missing empty binary.yaml broken.yaml good.yaml", "binary.yaml:1: is a binary file, not YAML or JSON text\n" +
			"broken.yaml:1: broken YAML: mapping values are not allowed in this context\n" +
			"empty: nothing found: the folder has no .yaml, .yml or .json file\nmissing: no such file or folder"},
	} {
		b, err := load(t, files, Options{}, strings.Fields(row.paths)...)
		var all Errors
		if b != nil || !errors.As(err, &all) {
			t.Fatalf("%s: bundle %v, error %T", row.paths, b, err)
		}
		if err.Error() != row.want {
			t.Errorf("%s\ngot  %s\nwant %s", row.paths, err, row.want)
		}
	}
}

func TestLinkToNothingIsAnError(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("gone", "a.yaml"); err != nil {
		t.Fatal(err)
	}
	if _, err := Load([]string{"."}, Options{}, nil); err == nil || err.Error() != "a.yaml: no such file or folder" {
		t.Errorf("got %v", err)
	}
}

// A pipe in a folder would be waited on for ever; one that is named is meant.
func TestPipes(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := unix.Mkfifo("a.yaml", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load([]string{"."}, Options{}, nil); err == nil || !strings.HasPrefix(err.Error(), "a.yaml: not a regular file") {
		t.Errorf("got %v", err)
	}
	go os.WriteFile("a.yaml", []byte(pod("a")), 0o600)
	b, err := Load([]string{"a.yaml"}, Options{}, nil)
	if err != nil || pods(b) != "a" {
		t.Errorf("got %v", err)
	}
}

// asNobody runs do with the file rights of nobody, since root may read all.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	const nobody = 65534
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Getuid() == 0 {
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Fatal(err)
		}
		defer unix.SetfsuidRetUid(0)
	}
	do()
}

func TestUnreadable(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "bulkhead-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "closed"), 0o700); os.RemoveAll(dir) })
	t.Chdir(dir)
	writeFile(t, "secret.yaml", pod("a"))
	writeFile(t, "closed/b.yaml", pod("b"))
	for path, mode := range map[string]os.FileMode{".": 0o755, "secret.yaml": 0, "closed": 0} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		for path, want := range map[string]string{
			"secret.yaml": "secret.yaml: open: permission denied",
			".":           "closed: open: permission denied\nsecret.yaml: open: permission denied",
		} {
			if _, err := Load([]string{path}, Options{}, nil); err == nil || err.Error() != want {
				t.Errorf("%s: got %v, want %s", path, err, want)
			}
		}
	})
}

func TestFileSize(t *testing.T) {
	fill := func(size int) string { return pod("a") + "#" + strings.Repeat("x", size-len(pod("a"))-1) }
	const tooLarge = "a.yaml: too large: a file must be smaller than 10 MB, split it, for example by namespace"
	for _, row := range []struct {
		size  int
		limit int64
		want  string
	}{
		{MaxFileSize - 1, 0, ""},
		{MaxFileSize, 0, tooLarge},
		{10 << 20, 0, tooLarge},
		{200, 100, "a.yaml: too large: a file must be smaller than 100 bytes, split it, for example by namespace"},
		{MaxFileSize, 2 * MaxFileSize, ""},
	} {
		_, err := load(t, map[string]string{"a.yaml": fill(row.size)}, Options{MaxFileSize: row.limit}, "a.yaml")
		if got := fmt.Sprint(err); got != row.want && (err != nil || row.want != "") {
			t.Errorf("%d bytes, limit %d: got %v, want %s", row.size, row.limit, err, row.want)
		}
	}
}

func TestErrorsAreTypedSortedAndBounded(t *testing.T) {
	var many strings.Builder
	for i := range 60 {
		fmt.Fprintf(&many, "a: [\n---\n%s---\n", fmt.Sprintf(podYAML, fmt.Sprintf("P%d", i)))
	}
	_, err := load(t, map[string]string{"b.yaml": "a: [", "a.yaml": many.String(), "c.yaml": fmt.Sprintf(policyYAML, "_")}, Options{}, "c.yaml", "b.yaml", "a.yaml")
	var all Errors
	var one *Error
	if !errors.As(err, &all) || !errors.As(err, &one) {
		t.Fatalf("error of type %T", err)
	}
	if len(all) != 122 || len(all.Unwrap()) != 122 || one != all[0] {
		t.Fatalf("%d errors", len(all))
	}
	for i := 1; i < len(all); i++ {
		if a, b := all[i-1], all[i]; a.File > b.File || a.File == b.File && a.Line > b.Line {
			t.Errorf("%s is before %s", a, b)
		}
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 51 || lines[50] != "and 72 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	if last := all[121]; last.File != "c.yaml" || last.Line != 3 || last.Object != "NetworkPolicy shop/_" || last.Field != "metadata.name" {
		t.Errorf("last error %+v", last)
	}
}
