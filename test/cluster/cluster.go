// Package cluster runs real Kubernetes clusters for tests: etcd, API server,
// controllers, scheduler, kube-proxy and name server as released, nodes and pods
// as Linux namespaces on this machine, and on every node the policy engine under
// test.
//
//	c, err := cluster.Start(ctx, cluster.Config{Engine: []string{"bulkhead", "agent", "--kubeconfig", "{kubeconfig}", "--node-name", "{node}"}})
//	defer c.Stop()
//	err = c.Node(1).Engine().Kill(ctx)
//
// A cluster lives in namespaces of its own and shares nothing with the machine or
// with other clusters but the CPU; any number run side by side. When it is
// stopped, or whoever started it dies, the kernel ends every process, network and
// mount of it. Starting one needs root, the Go tool and, the first time, the
// module proxy.
//
// All methods are safe for concurrent use.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
)

// Config says what cluster to start; the zero Config is two nodes with IPv4,
// routed pods, kube-proxy in nftables mode, name server, and no engine.
type Config struct {
	control.Config
	// Name is how others find the cluster (Open); "" is one that only its
	// starter knows.
	Name string
	// Detach lets the cluster outlive the process that starts it.
	Detach bool
	// Progress is told what is being built; nil is silence.
	Progress io.Writer
	// LogDir gets the cluster's logs when it stops; "" throws them away.
	LogDir string
}

// A Cluster is a running cluster.
type Cluster struct {
	// Kubeconfig is the path of the administrator's kubeconfig.
	Kubeconfig string
	// Dir holds the cluster's files; its logs are below Dir/logs.
	Dir string

	client *control.Client
	status control.Status // at the start: what does not change
	pid    int            // of the cluster's process
	pidNS  string         // its PID namespace, as /proc shows it
	tool   string         // the cluster program
	logDir string
	ended  chan struct{} // closed when our own child has ended; nil: not our child
	life   io.Closer     // nil: detached
	lock   string
}

// ErrExists is the error for a name whose cluster runs already.
var ErrExists = errors.New("cluster is running already")

// ErrNone is the error for a name of which no cluster runs.
var ErrNone = errors.New("no such cluster is running")

// startTime is how long a cluster may take to come up on a busy machine.
const startTime = 5 * time.Minute

// programs are built for every cluster, in the order in which they are missed.
var programs = []string{"kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kube-proxy",
	"agnhost.real", "agnhost", "container-init", "cluster", "coredns"}

// Start starts a cluster and returns once it is ready: nodes, proxies, engines
// and name server.
func Start(ctx context.Context, config Config) (*Cluster, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := config.fill(ctx); err != nil {
		return nil, err
	}
	lock, err := config.makeDir()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: config.Dir, client: control.NewClient(config.Dir), tool: config.Programs["cluster"],
		logDir: config.LogDir, lock: lock.Name()}
	if err := c.launch(ctx, config, lock); err != nil {
		return nil, errors.Join(fmt.Errorf("start cluster: %w", err), c.Stop())
	}
	if err := c.learn(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start cluster: %w", err), c.Stop())
	}
	return c, nil
}

// fill adds what is not the caller's to say.
func (config *Config) fill(ctx context.Context) error {
	config.Config = config.Config.Defaults()
	cache, err := binaries.DefaultCache(config.Progress)
	if err != nil {
		return err
	}
	config.Programs = map[string]string{}
	for _, name := range programs {
		if config.Programs[name], err = cache.Program(ctx, name); err != nil {
			return err
		}
	}
	builtIn, err := BuildImages(cache.Dir, StandardImages(config.Programs))
	if err != nil {
		return err
	}
	for i, dir := range config.Images {
		if config.Images[i], err = filepath.Abs(dir); err != nil {
			return fmt.Errorf("find images: %w", err)
		}
	}
	config.Images = append(config.Images, builtIn)
	if len(config.Engine) > 0 {
		config.Engine, err = findCommand(config.Engine)
	}
	return err
}

// findCommand makes the path of a command absolute: it is run elsewhere.
func findCommand(argv []string) ([]string, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, fmt.Errorf("find engine: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("find engine: %w", err)
	}
	return append([]string{path}, argv[1:]...), nil
}

// StandardImages are those that every cluster has.
func StandardImages(programs map[string]string) []image.Recipe {
	agnhost := map[string]string{"agnhost": programs["agnhost"], "agnhost.real": programs["agnhost.real"]}
	return []image.Recipe{
		{Image: image.Image{Name: "agnhost", Entrypoint: []string{"/agnhost"}, Command: []string{"pause"}, HostTools: true},
			Files: agnhost, Names: []string{"pause"}},
		{Image: image.Image{Name: "coredns", Entrypoint: []string{"/coredns"}}, Files: map[string]string{"coredns": programs["coredns"]}},
		// The machine's own programs under names that people type.
		{Image: image.Image{Name: "debian", Command: []string{"/bin/bash"}, HostTools: true},
			Names: []string{"ubuntu", "alpine", "busybox", "bash"}},
	}
}

// BuildImages makes images in a cache, once, and returns their folder.
func BuildImages(cache string, recipes []image.Recipe) (dir string, err error) {
	dir = filepath.Join(cache, "images-"+image.Key(recipes))
	return dir, image.Build(dir, recipes)
}

// home is where clusters with names have their folders.
func home() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("bulkhead-cluster-%d", os.Getuid()))
}

// makeDir makes the cluster's folder, and returns a file that is locked as long
// as any process of the cluster lives.
func (config *Config) makeDir() (lock *os.File, err error) {
	if err := os.MkdirAll(home(), 0o755); err != nil {
		return nil, fmt.Errorf("make cluster folder: %w", err)
	}
	if config.Name == "" {
		dir, err := os.MkdirTemp(home(), "test-*")
		if err != nil {
			return nil, fmt.Errorf("make cluster folder: %w", err)
		}
		config.Name = filepath.Base(dir)
	}
	config.Dir = filepath.Join(home(), config.Name)
	lock, err = os.OpenFile(config.Dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock cluster folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("start cluster %s: %w", config.Name, ErrExists)
	}
	// What a cluster that crashed has left are files alone.
	if err := os.RemoveAll(config.Dir); err != nil {
		return nil, fmt.Errorf("clear cluster folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, "logs"), 0o755); err != nil {
		return nil, fmt.Errorf("make cluster folder: %w", err)
	}
	return lock, nil
}

// launch starts the cluster's processes, which take over the lock, and waits for
// their word.
func (c *Cluster) launch(ctx context.Context, config Config, lock *os.File) error {
	defer lock.Close()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("listen for API clients: %w", err)
	}
	defer listener.Close()
	config.Address = listener.Addr().String()
	content, err := json.MarshalIndent(config.Config, "", "\t")
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, configName), content, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	outcome, err := c.boot(ctx, listener, lock, config.Detach)
	if err != nil {
		return err
	}
	if outcome.Status == nil {
		return errors.New(outcome.Error)
	}
	return nil
}

// learn finds out what does not change about a running cluster.
func (c *Cluster) learn(ctx context.Context) error {
	status, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	if c.pid, err = c.client.PID(ctx); err != nil {
		return err
	}
	if c.pidNS, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.pid)); err != nil {
		return fmt.Errorf("find cluster process: %w", err)
	}
	c.status, c.Kubeconfig = *status, status.Kubeconfig
	return nil
}

// Open finds a running cluster by name.
func Open(ctx context.Context, name string) (*Cluster, error) {
	dir := filepath.Join(home(), name)
	c := &Cluster{Dir: dir, client: control.NewClient(dir), lock: dir + ".lock"}
	if _, err := os.Stat(filepath.Join(dir, control.SocketName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open cluster %s: %w", name, ErrNone)
	}
	if err := c.learn(ctx); err != nil {
		return nil, fmt.Errorf("open cluster %s: %w: %w", name, ErrNone, err)
	}
	c.tool = c.status.Config.Programs["cluster"]
	return c, nil
}

// Stop ends the cluster and removes its files. It returns when nothing of it is
// left.
func (c *Cluster) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	// A cluster that does not listen any more is killed below.
	_ = c.client.Stop(ctx)
	if c.life != nil {
		c.life.Close()
	}
	if err := c.awaitEnd(ctx); err != nil {
		return err
	}
	if err := c.keepLogs(); err != nil {
		return err
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		return fmt.Errorf("remove cluster folder: %w", err)
	}
	return os.Remove(c.lock)
}

func (c *Cluster) keepLogs() error {
	if c.logDir == "" {
		return nil
	}
	if err := os.CopyFS(c.logDir, os.DirFS(filepath.Join(c.Dir, "logs"))); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	return nil
}

// Status says how the cluster is.
func (c *Cluster) Status(ctx context.Context) (*control.Status, error) { return c.client.Status(ctx) }

// CompactHistory makes every watch that starts at an earlier version fail, as
// after a long absence.
func (c *Cluster) CompactHistory(ctx context.Context) error { return c.client.Compact(ctx) }
