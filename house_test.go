// Package bulkhead holds the rules of the house as tests: which package may
// know what, and how large a file may grow.
package bulkhead

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/bulkhead-dev/bulkhead/"

// pure are the packages that know no I/O: the same input gives the same output
// on every system, and a test needs nothing but values.
var pure = []string{"traffic", "l7", "names", "plan", "cluster", "cluster/k8s", "policy", "policy/k8s", "policy/syntax", "policy/clusternp", "policy/calico", "policy/calico/selector", "policy/cilium", "verdict", "compile", "matrix", "directory", "explanation", "convert"}

// impure is what a pure package must not import, each with its reason.
var impure = map[string]string{
	"os":                          "files and environment belong to manifest and cmd",
	"os/exec":                     "programs belong to the lab",
	"net":                         "sockets belong to the lab and the agent; addresses are net/netip",
	"net/http":                    "HTTP belongs to the agent and the proxy",
	"syscall":                     "system calls belong to the dataplane and the lab",
	"log":                         "a pure package returns what it found; its caller logs",
	"log/slog":                    "a pure package returns what it found; its caller logs",
	"math/rand":                   "plans and verdicts are derived from their input",
	"math/rand/v2":                "plans and verdicts are derived from their input",
	"golang.org/x/sys/unix":       "system calls belong to the dataplane and the lab",
	"github.com/google/nftables":  "only dataplane/nft and the lab talk to nftables",
	"github.com/mdlayher/netlink": "only dataplane/nft and conntrack talk netlink",
	"k8s.io/client-go":            "only cluster/kube talks to an API server",
}

// directions are imports within the project that would undo its order.
var directions = []struct{ from, to, why string }{
	{"verdict", "compile", "the evaluator is the second opinion on the compiler"},
	{"verdict", "plan", "the evaluator is the second opinion on the compiler"},
	{"compile", "verdict", "the evaluator is the second opinion on the compiler"},
	{"plan", "cluster", "a plan is a leaf: addresses and numbers only"},
	{"plan", "policy", "a plan is a leaf: addresses and numbers only"},
	{"dataplane", "policy", "the dataplane knows plans, not policies"},
	{"dataplane", "compile", "the dataplane knows plans, not where they come from"},
	{"policy", "manifest", "the model knows no files"},
	{"l7", "policy", "what rules ask of content is a leaf: plans have it too"},
	{"cluster", "policy", "policies select pods; pods know no policies"},
}

func TestPurePackagesKnowNoIO(t *testing.T) {
	for _, pkg := range pure {
		files := parse(t, pkg)
		if len(files) == 0 {
			t.Errorf("%s: no such package", pkg)
		}
		for name, file := range files {
			for _, imported := range imports(file) {
				if why, banned := bans(imported); banned {
					t.Errorf("%s imports %s: %s", name, imported, why)
				}
			}
			for _, call := range clockCalls(file) {
				t.Errorf("%s uses time.%s: the clock is injected", name, call)
			}
		}
	}
}

// bans looks up a package, and a whole module for the paths that are one.
func bans(imported string) (why string, banned bool) {
	if why, banned = impure[imported]; banned {
		return why, true
	}
	for banned, why := range impure {
		if strings.Contains(banned, ".") && strings.HasPrefix(imported, banned+"/") {
			return why, true
		}
	}
	return "", false
}

func TestImportsFollowTheOrderOfPackages(t *testing.T) {
	for _, rule := range directions {
		for _, pkg := range packagesBelow(t, rule.from) {
			for name, file := range parse(t, pkg) {
				for _, imported := range imports(file) {
					if imported == module+rule.to || strings.HasPrefix(imported, module+rule.to+"/") {
						t.Errorf("%s imports %s: %s", name, rule.to, rule.why)
					}
				}
			}
		}
	}
}

func TestFilesKeepToOneIdea(t *testing.T) {
	const most = 500
	walk(t, ".", func(name string) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(content), "\n"); lines > most {
			t.Errorf("%s has %d lines: split it by noun, %d is the most", name, lines, most)
		}
	})
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, pkg := range packagesBelow(t, ".") {
		documented := false
		files := parse(t, pkg)
		for _, file := range files {
			documented = documented || file.Doc != nil
		}
		if len(files) > 0 && !documented {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// parse reads a folder's Go files without its tests.
func parse(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	return files
}

func imports(file *ast.File) []string {
	var paths []string
	for _, spec := range file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// clockCalls are the functions of package time that read or wait for the clock.
func clockCalls(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		clock := []string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
			found = append(found, sel.Sel.Name)
		}
		return true
	})
	return found
}

func packagesBelow(t *testing.T, root string) []string {
	t.Helper()
	var dirs []string
	walk(t, root, func(name string) {
		if strings.HasSuffix(name, ".go") && !slices.Contains(dirs, filepath.Dir(name)) {
			dirs = append(dirs, filepath.Dir(name))
		}
	})
	return dirs
}

func walk(t *testing.T, root string, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() {
			visit(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
