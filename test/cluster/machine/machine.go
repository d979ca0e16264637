// Package machine is the inside of a test cluster: one process, in namespaces of
// its own, that runs the control plane, the nodes and their kubelets, and listens
// on a unix socket to those who steer it.
//
// It owns everything below its folder and every process of the cluster. Package
// cluster starts it; nothing else should.
package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
	"github.com/bulkhead-dev/bulkhead/test/cluster/controlplane"
	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/image"
	"github.com/bulkhead-dev/bulkhead/test/cluster/kubelet"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
	"github.com/bulkhead-dev/bulkhead/test/cluster/process"
)

// PrivateDir is the folder of the cluster's folder that lives in memory, where
// only the cluster sees it.
const PrivateDir = "private"

// A Machine is a running cluster.
type Machine struct {
	config control.Config
	log    *slog.Logger
	began  time.Time
	took   time.Duration

	plan      fabric.Plan
	view      ns.View // of the switch between the nodes
	plane     *controlplane.ControlPlane
	client    kubernetes.Interface
	nodes     []*node
	processes []*process.Process
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// A node is one machine of the cluster.
type node struct {
	*fabric.Node
	view             ns.View
	kubelet          *kubelet.Kubelet
	engineKubeconfig string
}

// Run runs a cluster until ctx ends or somebody asks it to stop. ready is called
// once, when everything is. Connections to listener are passed on to the API
// server.
func Run(ctx context.Context, config control.Config, listener net.Listener, log *slog.Logger, ready func(control.Status)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &Machine{config: config, log: log, began: time.Now(), stop: cancel}
	if err := m.start(ctx, listener); err != nil {
		return err
	}
	control, err := net.Listen("unix", filepath.Join(config.Dir, control.SocketName))
	if err != nil {
		return fmt.Errorf("listen to control: %w", err)
	}
	defer control.Close()
	go m.serve(control)
	m.took = time.Since(m.began)
	ready(m.status())
	<-ctx.Done()
	m.running.Wait()
	return nil
}

// start brings everything up; what it leaves running in case of an error ends
// with the process.
func (m *Machine) start(ctx context.Context, listener net.Listener) error {
	if err := m.prepare(); err != nil {
		return err
	}
	// The nodes are built while the control plane starts.
	planeReady := make(chan error, 1)
	go func() { planeReady <- m.startControlPlane(ctx) }()
	if err := m.buildNodes(); err != nil {
		return err
	}
	if err := <-planeReady; err != nil {
		return err
	}
	go m.forward(ctx, listener)
	if err := m.startNodes(ctx); err != nil {
		return err
	}
	return m.awaitReady(ctx)
}

// prepare reads the configuration and makes the folder that lives in memory.
func (m *Machine) prepare() error {
	families, err := fabric.ParseFamilies(m.config.Families)
	if err != nil {
		return err
	}
	pods, err := fabric.ParsePodNetwork(m.config.PodNetwork)
	if err != nil {
		return err
	}
	if m.config.Nodes < 1 || m.config.Nodes > fabric.MaxNodes {
		return fmt.Errorf("make %d nodes: want 1 to %d", m.config.Nodes, fabric.MaxNodes)
	}
	m.plan = fabric.Plan{Families: families, Pods: pods, ReuseAddresses: m.config.ReuseAddresses}
	if m.view, err = ns.Of(os.Getpid(), unix.CLONE_NEWNET); err != nil {
		return err
	}
	// Everything is started with the environment of this process; a kubeconfig
	// of the caller's must not leak into the cluster.
	os.Unsetenv("KUBECONFIG")
	private := m.private()
	if err := os.MkdirAll(private, 0o700); err != nil {
		return fmt.Errorf("make private folder: %w", err)
	}
	if err := unix.Mount("tmpfs", private, "tmpfs", 0, "mode=0755,size=75%,nr_inodes=0"); err != nil {
		return fmt.Errorf("make private folder: %w", err)
	}
	return m.linkHostTools()
}

func (m *Machine) private(elements ...string) string {
	return filepath.Join(append([]string{m.config.Dir, PrivateDir}, elements...)...)
}

func (m *Machine) logDir() string { return filepath.Join(m.config.Dir, "logs") }

// linkHostTools makes the layer with which /bin is found in images that show the
// machine's programs.
func (m *Machine) linkHostTools() error {
	dir := m.private("hostlinks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("link host tools: %w", err)
	}
	_, links := image.HostMounts()
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("link host tools: %w", err)
		}
	}
	return nil
}

func (m *Machine) startControlPlane(ctx context.Context) (err error) {
	m.plane, err = controlplane.Start(ctx, controlplane.Config{
		View: m.view, Plan: m.plan, Dir: m.private("control"), LogDir: m.logDir(),
		Programs: m.config.Programs, Hosts: []string{m.host()},
	})
	if err != nil {
		return err
	}
	m.client, err = m.plane.Client()
	return err
}

// host is the name or address under which the API server is reached from outside.
func (m *Machine) host() string {
	host, _, err := net.SplitHostPort(m.config.Address)
	if err != nil {
		return m.config.Address
	}
	return host
}

// Kubeconfig is the administrator's, for use from outside.
func (m *Machine) kubeconfig() string { return filepath.Join(m.config.Dir, "kubeconfig") }

func (m *Machine) find(name string) (*process.Process, error) {
	var names []string
	for _, p := range m.allProcesses() {
		if p.Status().Name == name {
			return p, nil
		}
		names = append(names, p.Status().Name)
	}
	return nil, fmt.Errorf("no process %q: there are %q", name, names)
}

func (m *Machine) allProcesses() []*process.Process {
	return append(m.plane.Processes(), m.processes...)
}

func (m *Machine) status() control.Status {
	s := control.Status{
		Config: m.config, Started: m.began, StartTook: m.took, Kubeconfig: m.kubeconfig(),
		PID: os.Getpid(), Network: m.view.Net.FD(),
	}
	for _, n := range m.nodes {
		node := control.Node{Name: n.Name, PodRanges: n.PodRanges(), Kubeconfig: n.engineKubeconfig,
			Network: n.view.Net.FD(), Mount: n.view.Mount.FD(), UTS: n.view.UTS.FD()}
		for _, a := range n.Addresses {
			node.Addresses = append(node.Addresses, a.String())
		}
		s.Nodes = append(s.Nodes, node)
	}
	for _, p := range m.allProcesses() {
		s.Processes = append(s.Processes, p.Status())
	}
	return s
}

var errUnknownPod = errors.New("no such running pod")

// pod finds a running pod.
func (m *Machine) pod(namespace, name string) (*control.Pod, error) {
	for _, n := range m.nodes {
		if view, ok := n.kubelet.PodView(namespace, name); ok {
			return &control.Pod{Node: n.Name, Network: view.Net.FD()}, nil
		}
	}
	return nil, fmt.Errorf("find pod %s/%s: %w", namespace, name, errUnknownPod)
}
