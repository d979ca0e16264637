package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/test/cluster/control"
)

// A Place is a network in the cluster: that of a node, of a pod, or that between
// the nodes.
type Place struct {
	// NetNS is the path of the network namespace, for as long as it is there.
	NetNS string

	tool string
	args []string
}

// Command is a command to be run in the place, like exec.CommandContext. It ends
// with the cluster at the latest.
func (p Place) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, p.tool, slices.Concat([]string{"enter"}, p.args, []string{"--"}, argv)...)
}

// A Node is one machine of the cluster.
type Node struct {
	Place
	control.Node
	c *Cluster
}

// Nodes are the cluster's nodes in order.
func (c *Cluster) Nodes() []*Node {
	var all []*Node
	for i := range c.status.Nodes {
		all = append(all, c.Node(i+1))
	}
	return all
}

// Node is the ith node; the first is 1. It panics if there is none.
func (c *Cluster) Node(i int) *Node {
	n := c.status.Nodes[i-1]
	return &Node{Node: n, c: c, Place: c.place(n.Network, "--mount", c.path(n.Mount), "--uts", c.path(n.UTS))}
}

// Outside is the network between the nodes, from which pods and nodes are
// reached as by a machine that is not in the cluster.
func (c *Cluster) Outside() Place { return c.place(c.status.Network) }

func (c *Cluster) place(network int, more ...string) Place {
	path := c.path(network)
	return Place{NetNS: path, tool: c.tool, args: append([]string{"--pid", fmt.Sprintf("/proc/%d/ns/pid", c.pid), "--net", path}, more...)}
}

// path is where the caller finds a descriptor of the cluster's process.
func (c *Cluster) path(fd int) string { return fmt.Sprintf("/proc/%d/fd/%d", c.pid, fd) }

// Pod finds the place of a running pod.
func (c *Cluster) Pod(ctx context.Context, namespace, name string) (Place, error) {
	pod, err := c.client.Pod(ctx, namespace, name)
	if err != nil {
		return Place{}, err
	}
	return c.place(pod.Network), nil
}

// A Process is one program of the cluster.
type Process struct {
	c    *Cluster
	name string
}

// Process is a program by name: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kube-proxy/NODE or engine/NODE.
func (c *Cluster) Process(name string) *Process { return &Process{c: c, name: name} }

// Engine is the node's policy engine.
func (n *Node) Engine() *Process { return n.c.Process("engine/" + n.Name) }

// Proxy is the node's kube-proxy.
func (n *Node) Proxy() *Process { return n.c.Process("kube-proxy/" + n.Name) }

// Start starts the process, with another command from now on if one is given.
// An engine's command has the same words replaced as in Config.
func (p *Process) Start(ctx context.Context, argv ...string) error {
	request := control.ProcessRequest{Name: p.name, Action: control.StartProcess}
	if len(argv) > 0 {
		var err error
		if request.Command, err = findCommand(argv); err != nil {
			return err
		}
	}
	return p.do(ctx, request)
}

// Stop asks the process to end, and kills it when the grace is over; 0 is 10
// seconds.
func (p *Process) Stop(ctx context.Context, grace time.Duration) error {
	return p.do(ctx, control.ProcessRequest{Name: p.name, Action: control.StopProcess, Grace: grace})
}

// Kill ends the process without asking.
func (p *Process) Kill(ctx context.Context) error {
	return p.do(ctx, control.ProcessRequest{Name: p.name, Action: control.KillProcess})
}

// Signal sends a signal that is not meant to end the process, such as SIGSTOP.
func (p *Process) Signal(ctx context.Context, s syscall.Signal) error {
	return p.do(ctx, control.ProcessRequest{Name: p.name, Action: control.SignalOnly, Signal: int(s)})
}

func (p *Process) do(ctx context.Context, request control.ProcessRequest) error {
	_, err := p.c.client.Process(ctx, request)
	return err
}

// Status says how the process is.
func (p *Process) Status(ctx context.Context) (*control.ProcessStatus, error) {
	status, err := p.c.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	for i := range status.Processes {
		if status.Processes[i].Name == p.name {
			return &status.Processes[i], nil
		}
	}
	return nil, fmt.Errorf("the cluster has no process %q", p.name)
}

// PID is the process's number as the caller sees it, to read its memory and CPU
// time below /proc.
func (p *Process) PID(ctx context.Context) (int, error) {
	status, err := p.Status(ctx)
	if err != nil {
		return 0, err
	}
	if !status.Running {
		return 0, fmt.Errorf("process %q is not running", p.name)
	}
	return outsidePID(p.c.pidNS, status.PID)
}
