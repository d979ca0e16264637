package machine

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bulkhead-dev/bulkhead/test/cluster/controlplane"
	"github.com/bulkhead-dev/bulkhead/test/cluster/fabric"
	"github.com/bulkhead-dev/bulkhead/test/cluster/kubelet"
	"github.com/bulkhead-dev/bulkhead/test/cluster/ns"
	"github.com/bulkhead-dev/bulkhead/test/cluster/process"
)

// pollPeriod is how often something awaited is looked at.
const pollPeriod = 20 * time.Millisecond

// buildNodes makes the switch and the nodes on it, with nothing running.
func (m *Machine) buildNodes() error {
	f, err := fabric.New(m.view, m.plan)
	if err != nil {
		return err
	}
	for i := 1; i <= m.config.Nodes; i++ {
		view, err := newNodeView(fabric.NodeName(i))
		if err != nil {
			return fmt.Errorf("make %s: %w", fabric.NodeName(i), err)
		}
		n, err := f.AddNode(i, view)
		if err != nil {
			return err
		}
		for _, other := range m.nodes {
			if err := f.Introduce(n, other.Node); err != nil {
				return err
			}
		}
		m.nodes = append(m.nodes, &node{Node: n, view: view})
	}
	return nil
}

// newNodeView makes a node's namespaces: a network, a host name, and a /run and
// /sys of its own, where programs keep their sockets and see their network.
func newNodeView(name string) (ns.View, error) {
	return ns.New(ns.View{}, unix.CLONE_NEWNET|unix.CLONE_NEWNS|unix.CLONE_NEWUTS, func() error {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("set host name: %w", err)
		}
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mount /run: %w", err)
		}
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
		return nil
	})
}

// startNodes starts what runs on the nodes, the engines first.
func (m *Machine) startNodes(ctx context.Context) error {
	if err := m.plane.WriteKubeconfig(m.kubeconfig(), "https://"+m.config.Address); err != nil {
		return err
	}
	if err := controlplane.AllowEngines(ctx, m.client); err != nil {
		return err
	}
	if !m.config.NoDNS {
		if err := m.plane.InstallDNS(ctx, m.client); err != nil {
			return err
		}
	}
	for _, n := range m.nodes {
		if err := m.startEngine(n); err != nil {
			return err
		}
	}
	for _, n := range m.nodes {
		if err := m.startNode(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// startEngine starts the node's engine, or only makes its kubeconfig.
func (m *Machine) startEngine(n *node) (err error) {
	if n.engineKubeconfig, err = m.plane.EngineKubeconfig(n.Name); err != nil {
		return err
	}
	if len(m.config.Engine) == 0 {
		return nil
	}
	env := append([]string{"NODE_NAME=" + n.Name, "NODE_IP=" + n.Addresses[0].String(), "KUBECONFIG=" + n.engineKubeconfig}, m.config.EngineEnv...)
	engine := process.New("engine/"+n.Name, n.view, m.logDir(), env, n.fill(m.config.Engine)...)
	m.processes = append(m.processes, engine)
	return engine.Start()
}

// fill replaces the words of an engine's command.
func (n *node) fill(command []string) []string {
	words := strings.NewReplacer("{node}", n.Name, "{node-ip}", n.Addresses[0].String(), "{kubeconfig}", n.engineKubeconfig)
	filled := make([]string, len(command))
	for i, word := range command {
		filled[i] = words.Replace(word)
	}
	return filled
}

func (m *Machine) startNode(ctx context.Context, n *node) error {
	if m.config.ProxyMode != "none" {
		proxy := m.plane.Proxy(n.Name, n.view, m.config.ProxyMode)
		m.processes = append(m.processes, proxy)
		if err := proxy.Start(); err != nil {
			return err
		}
	}
	k, err := m.newKubelet(n)
	if err != nil {
		return err
	}
	n.kubelet = k
	m.running.Go(func() {
		if err := k.Run(ctx); err != nil && ctx.Err() == nil {
			m.log.Error("kubelet ended", "error", err)
			m.stop()
		}
	})
	return nil
}

func (m *Machine) newKubelet(n *node) (*kubelet.Kubelet, error) {
	identity, err := m.plane.NodeIdentity(n.Name, n.Addresses)
	if err != nil {
		return nil, err
	}
	certificate, err := identity.TLS()
	if err != nil {
		return nil, fmt.Errorf("identify %s: %w", n.Name, err)
	}
	client, err := kubernetes.NewForConfig(m.plane.PKI.RESTConfig(m.plane.Server, identity))
	if err != nil {
		return nil, fmt.Errorf("make client of %s: %w", n.Name, err)
	}
	version, err := m.client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask for version: %w", err)
	}
	return kubelet.New(kubelet.Config{
		Node: n.Node, View: n.view, Client: client, Images: m.config.Images,
		Init: m.config.Programs["container-init"], HostLinks: m.private("hostlinks"),
		Dir: m.private("pods", n.Name), LogDir: m.logDir() + "/pods",
		Cluster: kubelet.Cluster{Domain: controlplane.Domain, DNS: m.plan.DNSService(), API: m.plan.APIService()},
		Serving: kubelet.ServingConfig(certificate, m.plane.PKI.Pool()),
		Version: version.GitVersion, Log: m.log,
	}), nil
}

// awaitReady waits for the nodes, their proxies and engines, and the name server.
func (m *Machine) awaitReady(ctx context.Context) error {
	for _, n := range m.nodes {
		if err := m.await(ctx, n.Name+" to be ready", func() (bool, error) { return m.nodeReady(ctx, n.Name) }); err != nil {
			return err
		}
		for _, url := range m.readyURLs() {
			if err := m.await(ctx, url+" on "+n.Name, func() (bool, error) { return n.answers(ctx, url) }); err != nil {
				return err
			}
		}
	}
	if m.config.NoDNS {
		return nil
	}
	return m.await(ctx, "name server to be available", func() (bool, error) {
		d, err := m.client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == *d.Spec.Replicas, err
	})
}

func (m *Machine) readyURLs() []string {
	var urls []string
	if m.config.ProxyMode != "none" {
		urls = append(urls, "http://127.0.0.1:10256/healthz")
	}
	if m.config.EngineReady != "" {
		urls = append(urls, m.config.EngineReady)
	}
	return urls
}

// await looks at something until it holds. A process that dies meanwhile ends
// the wait: what is awaited would never come.
func (m *Machine) await(ctx context.Context, what string, holds func() (bool, error)) error {
	for {
		ok, err := holds()
		if ok {
			return nil
		}
		for _, p := range m.allProcesses() {
			if s := p.Status(); !s.Running {
				return fmt.Errorf("wait for %s: %s ended with %s: see %s", what, s.Name, s.LastExit, s.Log)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last: %v)", what, ctx.Err(), err)
		case <-time.After(pollPeriod):
		}
	}
}

// nodeReady says whether pods can be scheduled to the node.
func (m *Machine) nodeReady(ctx context.Context, name string) (bool, error) {
	n, err := m.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil || len(n.Spec.Taints) > 0 {
		return false, err
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue, nil
		}
	}
	return false, nil
}

// answers asks a URL on the node.
func (n *node) answers(ctx context.Context, url string) (ok bool, err error) {
	network := ns.View{Net: n.view.Net}
	err = network.Do(func() error {
		client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer(network)}}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if ok = response.StatusCode == http.StatusOK; !ok {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	})
	return ok, err
}
