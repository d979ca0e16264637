package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/test/cluster/binaries"
	"github.com/bulkhead-dev/bulkhead/test/cluster/controlplane"
	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
	"github.com/bulkhead-dev/bulkhead/test/cluster/process"
)

// bench is a running cluster of one size, with an agent that is started later.
type bench struct {
	options
	world  *world
	dir    string
	view   ns.View // the agent's node
	node   *fabric.Node
	plane  *controlplane.ControlPlane
	client kubernetes.Interface
	agent  *process.Process
	http   *http.Client // on the node
	kernel *monitor
	report report
}

const listen = "127.0.0.1:9477"

// start brings up a cluster in which everything exists already.
func start(ctx context.Context, o options, s size) (*bench, error) {
	b := &bench{options: o, world: newWorld(s), report: report{size: s}}
	var err error
	if b.dir, err = os.MkdirTemp("", "bulkhead-scale-*"); err != nil {
		return nil, err
	}
	if b.logs == "" {
		b.logs = filepath.Join(b.dir, "logs")
	}
	began := time.Now()
	if err := b.build(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	fmt.Fprintf(os.Stderr, "%s: API server is ready after %.0f s\n", s, time.Since(began).Seconds())
	return b, nil
}

func (b *bench) build(ctx context.Context) error {
	if err := b.startPlane(ctx); err != nil {
		return err
	}
	kubeconfig := filepath.Join(b.dir, "agent.kubeconfig")
	if err := b.plane.WriteKubeconfig(kubeconfig, b.plane.Server); err != nil {
		return err
	}
	var err error
	if b.client, err = newClient(b.plane.Admin); err != nil {
		return err
	}
	if b.kernel, err = watchKernel(b.view); err != nil {
		return err
	}
	b.http = &http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: b.dial}}
	b.agent = process.New("agent", b.view, b.logs, nil, b.options.agent, "agent",
		"--kubeconfig", kubeconfig, "--node-name", thisNode, "--listen", listen)
	return nil
}

// startPlane builds the network and starts etcd and API server in it.
func (b *bench) startPlane(ctx context.Context) error {
	cache, err := binaries.DefaultCache(os.Stderr)
	if err != nil {
		return err
	}
	programs := map[string]string{}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if programs[name], err = cache.Program(ctx, name); err != nil {
			return err
		}
	}
	plan := fabric.Plan{Families: []fabric.Family{fabric.IPv4}, Pods: fabric.Routed}
	between, err := fabric.New(ns.View{}, plan)
	if err != nil {
		return err
	}
	if b.view, err = ns.New(ns.View{}, unix.CLONE_NEWNET, nil); err != nil {
		return err
	}
	if b.node, err = between.AddNode(1, b.view); err != nil {
		return err
	}
	b.plane, err = controlplane.Start(ctx, controlplane.Config{
		Plan: plan, Dir: filepath.Join(b.dir, "plane"), LogDir: b.logs, Programs: programs,
		Bare: true, Seed: b.world.seed,
	})
	return err
}

func newClient(config *rest.Config) (kubernetes.Interface, error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	return kubernetes.NewForConfig(config)
}

// dial connects from the node.
func (b *bench) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = b.view.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// startAgent returns how long the agent took until what exists was in force.
func (b *bench) startAgent(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := b.agent.Start(); err != nil {
		return 0, err
	}
	for {
		response, err := b.http.Get("http://" + listen + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
		}
		if s := b.agent.Status(); !s.Running {
			return 0, fmt.Errorf("agent ended with %s: see %s", s.LastExit, s.Log)
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends what runs, and removes its files.
func (b *bench) stop() error {
	var errs []error
	if b.agent != nil {
		errs = append(errs, b.agent.Kill())
	}
	if b.kernel != nil {
		errs = append(errs, b.kernel.close())
	}
	if b.plane != nil {
		for _, p := range b.plane.Processes() {
			errs = append(errs, p.Kill())
		}
	}
	return errors.Join(append(errs, b.view.Close(), os.RemoveAll(b.dir))...)
}
