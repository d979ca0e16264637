// Package binaries builds the programs of a test cluster from the Go module
// proxy and keeps them outside the source tree.
//
// Every folder below this one is a module that pins one release; a program is
// built once per content of that module's go.mod, go.sum and Go files and per
// version of Go. Programs of the test cluster itself are built once per content of its
// sources. Several processes may build at the same time: they wait for each
// other.
package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A program is one file to build.
type program struct {
	name     string
	module   string // folder below this package; "" is the test cluster itself
	pkg      string
	release  string   // package whose version is the program's; "" is pkg
	isTest   bool     // go test -c
	defaults []string // variables set at link time, as -X takes them
}

const (
	kubernetesVersion = "v1.36.3"
	componentVersion  = "k8s.io/component-base/version."
)

// versionOf is what Kubernetes programs say about themselves.
var versionOf = []string{
	componentVersion + "gitVersion=" + kubernetesVersion,
	componentVersion + "gitMajor=1", componentVersion + "gitMinor=36",
	componentVersion + "gitTreeState=clean",
}

var programs = []program{
	{name: "kube-apiserver", module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", defaults: versionOf},
	{name: "etcd", module: "kubernetes", pkg: "go.etcd.io/etcd/server/v3"},
	{name: "kube-scheduler", module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-scheduler", defaults: versionOf},
	{name: "kube-controller-manager", module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-controller-manager", defaults: versionOf},
	{name: "kube-proxy", module: "kubernetes", pkg: "k8s.io/kubernetes/cmd/kube-proxy", defaults: versionOf},
	{name: "agnhost.real", module: "kubernetes", pkg: "k8s.io/kubernetes/test/images/agnhost", defaults: versionOf},
	{name: "ginkgo", module: "kubernetes", pkg: "github.com/onsi/ginkgo/v2/ginkgo"},
	{name: "e2e.test", module: "kubernetes", pkg: "k8s.io/kubernetes/test/e2e", isTest: true, defaults: versionOf},
	{name: "coredns", module: "coredns", pkg: "github.com/coredns/coredns"},
	{name: "cyclonus", module: "cyclonus", pkg: ".", release: "github.com/mattfenwick/cyclonus"},
	{name: "kube-router", module: "kuberouter", pkg: "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"},
	{name: "networkpolicyapi.test", module: "networkpolicyapi", pkg: "sigs.k8s.io/network-policy-api/conformance", isTest: true},
	{name: "container-init", pkg: "./cmd/container-init"},
	{name: "agnhost", pkg: "./cmd/agnhost"},
	{name: "cluster", pkg: "./cmd/cluster"},
}

// Names lists every program that can be built.
func Names() []string {
	names := make([]string, len(programs))
	for i, p := range programs {
		names[i] = p.name
	}
	return names
}

// A Cache is a folder of built programs.
type Cache struct {
	Dir string
	// Progress is told about every program that has to be built; nil is silence.
	Progress io.Writer
}

// DefaultCache is in the user's cache folder.
func DefaultCache(progress io.Writer) (*Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find cache folder: %w", err)
	}
	return &Cache{Dir: filepath.Join(dir, "bulkhead", "cluster"), Progress: progress}, nil
}

// Program returns the path of a program, building it if need be.
func (c *Cache) Program(ctx context.Context, name string) (string, error) {
	i := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
	if i < 0 {
		return "", fmt.Errorf("find program %q: it is none of %s", name, strings.Join(Names(), ", "))
	}
	p := programs[i]
	path, err := c.path(p)
	if err != nil {
		return "", fmt.Errorf("find program %s: %w", name, err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := c.buildLocked(ctx, p, path); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

func (c *Cache) buildLocked(ctx context.Context, p program, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil // somebody else built it meanwhile
	}
	return c.build(ctx, p, path)
}

func (c *Cache) build(ctx context.Context, p program, path string) error {
	start := time.Now()
	c.say("building %s\n", p.name)
	unfinished := path + ".unfinished"
	// Others work on the same machine: building is never urgent.
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "10", "go"}, p.arguments(unfinished)...)...)
	dir, err := p.dir()
	if err != nil {
		return err
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	c.say("built %s in %.0f s\n", p.name, time.Since(start).Seconds())
	return os.Rename(unfinished, path)
}

func (p program) arguments(out string) []string {
	args := []string{"build"}
	if p.isTest {
		args = []string{"test", "-c"}
	}
	link := "-s -w"
	for _, variable := range p.defaults {
		link += " -X " + variable
	}
	if p.module != "" {
		// The programs of the test cluster look for these modules where their own
		// sources are.
		args = append(args, "-trimpath")
	}
	return append(args, "-buildvcs=false", "-ldflags", link, "-o", out, p.pkg)
}

func (c *Cache) say(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, format, args...)
	}
}

func (c *Cache) path(p program) (string, error) {
	dir, err := p.dir()
	if err != nil {
		return "", err
	}
	key, err := contentKey(dir, p.module == "")
	if err != nil {
		return "", err
	}
	group := p.module
	if group == "" {
		group = "own"
	}
	return filepath.Join(c.Dir, group+"-"+key, p.name), nil
}

// dir is the folder of the program's module. The sources are where they were
// when this package was compiled.
func (p program) dir() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), p.module)
	if p.module == "" {
		dir = filepath.Dir(filepath.Dir(file))
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", fmt.Errorf("source tree has moved since this program was built, build it again: %w", err)
	}
	return dir, nil
}

// contentKey is a short hash of what a module's programs are made of.
func contentKey(dir string, sources bool) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOARCH)
	if sources {
		fmt.Fprintln(hash, dir) // which its programs know
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipOtherModules(dir, name, sources)
		}
		if !isSource(d.Name()) {
			return nil
		}
		content, err := os.ReadFile(name)
		fmt.Fprintln(hash, strings.TrimPrefix(name, dir), len(content))
		hash.Write(content)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil))[:12], err
}

func skipOtherModules(root, name string, sources bool) error {
	if name == root {
		return nil
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	if !sources || err == nil {
		return filepath.SkipDir
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func isSource(name string) bool {
	if name == "go.mod" || name == "go.sum" {
		return true
	}
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
}
